import { ETHERNET_HEADER_BYTES } from '../wire/ethernet.ts';
import { type FrameHeaders, IP_PROTOCOL, locateHeaders, tcpHeaderBytes, UDP_HEADER_BYTES } from '../wire/ip.ts';

/**
 * Number of frames that a frame from the underlay represents: 1, unless it is a super-frame (see `describeFrame`).
 *
 * @param segmentBytes payload of the segments of a super-frame if its sender gave it, else 0: TCP segments then fill the MTU
 * @param mtuBytes the TAP's MTU
 * @param headers scratch space
 */
export function segmentCount(
  view: DataView,
  at: number,
  length: number,
  segmentBytes: number,
  mtuBytes: number,
  headers: FrameHeaders,
): number {
  if (segmentBytes === 0 && length <= ETHERNET_HEADER_BYTES + mtuBytes) return 1;
  locateHeaders(view, at, length, headers);
  const { transport, transportAt, networkAt, networkEnd } = headers;
  if (transport === 0) return 1;
  const isUdp = transport === IP_PROTOCOL.udp;
  const headerBytes = transportAt - networkAt + (isUdp ? UDP_HEADER_BYTES : tcpHeaderBytes(view, transportAt));
  const payloadBytes = networkEnd - networkAt - headerBytes;
  const each = segmentBytes > 0 || isUdp ? segmentBytes : mtuBytes - headerBytes;
  return each > 0 && payloadBytes > each ? Math.ceil(payloadBytes / each) : 1;
}

import { ETHERNET_HEADER_BYTES } from '../wire/ethernet.ts';
import { type FrameHeaders, IP_PROTOCOL, locateHeaders, tcpHeaderBytes, UDP_HEADER_BYTES } from '../wire/ip.ts';

/**
 * Frames that a frame from the underlay stands for: 1, unless it is a super-frame (see `describeFrame`).
 *
 * @param segmentBytes payload of a super-frame's segments if its sender told, else 0: TCP then fills the MTU
 * @param mtuBytes the TAP's
 * @param headers scratch
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

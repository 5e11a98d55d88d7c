import { foldSum, pseudoHeaderSum } from '../wire/checksum.ts';
import {
  type FrameHeaders,
  IP_PROTOCOL,
  TCP_CHECKSUM_AT,
  TCP_FLAG,
  TCP_FLAGS_AT,
  tcpHeaderBytes,
  UDP_CHECKSUM_AT,
  UDP_HEADER_BYTES,
} from '../wire/ip.ts';
import { GSO_TYPE, markSuperFrame, writePartialHeader, writePlainHeader } from '../wire/vnet-hdr.ts';

/**
 * Writes the vnet header for a frame that came from the underlay.
 *
 * A vxlan device of the kernel on the same machine leaves work undone that a NIC would do: transport checksums hold only the pseudo-header sum, and a
 * super-frame of up to 64 KB arrives in one datagram. Both are passed to the TAP unchanged and marked as unfinished. The kernel behind the TAP
 * finishes or cuts them. If a finished checksum happens to equal the pseudo-header sum, finishing it again gives the same value, so no harm is done.
 *
 * @param headerAt where the header is written
 * @param headers what `locateHeaders` found in this frame
 * @param mtuBytes the TAP's MTU: a larger TCP packet is a super-frame, whatever its sender gave
 * @param segmentBytes payload of the segments of a super-frame if its sender gave it, else 0: TCP segments then fill the MTU. The whole frame may be
 * smaller than the MTU
 * @returns whether the frame is finished
 */
export function describeFrame(
  view: DataView,
  headerAt: number,
  frameAt: number,
  headers: FrameHeaders,
  mtuBytes: number,
  segmentBytes: number,
): boolean {
  const { transport, transportAt, networkAt, ipVersion } = headers;
  const offset = transport === IP_PROTOCOL.tcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
  if (transport === 0 || !isPartial(view, headers, offset)) {
    writePlainHeader(view, headerAt);
    return true;
  }
  writePartialHeader(view, headerAt, transportAt - frameAt, offset);
  const isUdp = transport === IP_PROTOCOL.udp;
  const headerBytes = transportAt - networkAt + (isUdp ? UDP_HEADER_BYTES : tcpHeaderBytes(view, transportAt));
  // Only the sender knows where one UDP datagram ended.
  const payloadBytes = segmentBytes > 0 || isUdp ? segmentBytes : mtuBytes - headerBytes;
  if (payloadBytes <= 0 || headers.networkEnd - networkAt <= headerBytes + payloadBytes) return false;
  if (isUdp) {
    markSuperFrame(view, headerAt, GSO_TYPE.udp, networkAt - frameAt + headerBytes, payloadBytes);
    return false;
  }
  const ecn = view.getUint8(transportAt + TCP_FLAGS_AT) & TCP_FLAG.cwr ? GSO_TYPE.ecn : 0;
  const type = ipVersion === 4 ? GSO_TYPE.tcpv4 : GSO_TYPE.tcpv6;
  markSuperFrame(view, headerAt, type | ecn, networkAt - frameAt + headerBytes, payloadBytes);
  return false;
}

function isPartial(view: DataView, headers: FrameHeaders, offset: number): boolean {
  const { networkAt, networkEnd, ipVersion, transport, transportAt } = headers;
  const field = view.getUint16(transportAt + offset);
  return field === foldSum(pseudoHeaderSum(view, networkAt, ipVersion, transport, networkEnd - transportAt));
}

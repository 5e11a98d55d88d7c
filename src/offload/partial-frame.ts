import { foldSum, pseudoHeaderSum } from '../wire/checksum.ts';
import {
  type FrameHeaders,
  IP_PROTOCOL,
  locateHeaders,
  TCP_CHECKSUM_AT,
  tcpHeaderBytes,
  UDP_CHECKSUM_AT,
} from '../wire/ip.ts';
import { GSO_TYPE, markSuperFrame, writePartialHeader, writePlainHeader } from '../wire/vnet-hdr.ts';

const TCP_FLAGS_AT = 13;
const TCP_CWR = 0x80;

/**
 * Writes the vnet header for a frame that came from the underlay.
 *
 * A kernel vxlan device on the same machine leaves work undone that a NIC would do: transport checksums hold only the pseudo-header sum, and
 * a TCP super-frame of up to 64 KB arrives in one datagram. Both are handed to the TAP as they are, described as unfinished; the
 * kernel behind the TAP finishes them or cuts them up. A finished checksum that equals the pseudo-header sum by chance is finished to the
 * same value again, so nothing is harmed.
 *
 * @param headerAt where the header goes: VNET_HDR_BYTES before `frameAt`
 * @param mtuBytes the TAP's MTU, by which a super-frame is cut
 * @param headers scratch, overwritten
 */
export function describeFrame(
  view: DataView,
  headerAt: number,
  frameAt: number,
  length: number,
  mtuBytes: number,
  headers: FrameHeaders,
): void {
  locateHeaders(view, frameAt, length, headers);
  const { transport, transportAt, networkAt, ipVersion } = headers;
  const offset = transport === IP_PROTOCOL.tcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
  if (transport === 0 || !isPartial(view, headers, offset)) {
    writePlainHeader(view, headerAt);
    return;
  }
  writePartialHeader(view, headerAt, transportAt - frameAt, offset);
  // A UDP super-frame is cut by the kernel in front of a socket without UDP_GRO: where one datagram ended is known to its sender alone.
  if (transport !== IP_PROTOCOL.tcp || headers.networkEnd - networkAt <= mtuBytes) return;
  const headerBytes = transportAt + tcpHeaderBytes(view, transportAt) - networkAt;
  const segmentBytes = mtuBytes - headerBytes;
  if (segmentBytes <= 0) return;
  const ecn = view.getUint8(transportAt + TCP_FLAGS_AT) & TCP_CWR ? GSO_TYPE.ecn : 0;
  const type = ipVersion === 4 ? GSO_TYPE.tcpv4 : GSO_TYPE.tcpv6;
  markSuperFrame(view, headerAt, type | ecn, networkAt - frameAt + headerBytes, segmentBytes);
}

function isPartial(view: DataView, headers: FrameHeaders, offset: number): boolean {
  const { networkAt, networkEnd, ipVersion, transport, transportAt } = headers;
  const field = view.getUint16(transportAt + offset);
  return field === foldSum(pseudoHeaderSum(view, networkAt, ipVersion, transport, networkEnd - transportAt));
}

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
 * A kernel vxlan device on the same machine leaves work undone that a NIC would do: transport checksums hold only the pseudo-header sum, and
 * a super-frame of up to 64 KB arrives in one datagram. Both are handed to the TAP as they are, described as unfinished; the
 * kernel behind the TAP finishes them or cuts them up. A finished checksum that equals the pseudo-header sum by chance is finished to the
 * same value again, so nothing is harmed.
 *
 * @param headerAt where the header goes
 * @param headers what `locateHeaders` found of this frame
 * @param mtuBytes the TAP's MTU: larger TCP packets are super-frames, whatever their sender told
 * @param segmentBytes payload of a super-frame's segments if its sender told, else 0: TCP then fills the MTU. The whole may be below it
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
  // Where one UDP datagram ended is known to its sender alone.
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

/** Super-frames as a machine hands them to a TAP. */
import { internetChecksum } from './frames.ts';

/** gso_type of struct virtio_net_hdr. */
export const GSO = { tcp4: 1, tcp6: 4, udp: 5, ecn: 0x80 };

/** The frame behind its struct virtio_net_hdr, its checksum unfinished: the field holds the sum of the pseudo-header. */
export function withVnetHeader(finished: Buffer, type: number, segmentBytes: number): Buffer {
  const bytes = Buffer.from(finished);
  let network = 14;
  while ([0x8100, 0x88a8].includes(bytes.readUInt16BE(network - 2))) network += 4;
  const isIpv6 = bytes.readUInt8(network) >> 4 === 6;
  const transport = network + (isIpv6 ? 40 : (bytes.readUInt8(network) & 15) * 4);
  const isUdp = type === GSO.udp;
  const addresses = bytes.subarray(network + (isIpv6 ? 8 : 12), network + (isIpv6 ? 40 : 20));
  const length = Buffer.from([0, isUdp ? 17 : 6, (bytes.length - transport) >> 8, (bytes.length - transport) & 0xff]);
  bytes.writeUInt16BE(~internetChecksum(addresses, length) & 0xffff, transport + (isUdp ? 6 : 16));
  const header = Buffer.alloc(10);
  header.writeUInt8(1, 0);
  header.writeUInt8(type, 1);
  header.writeUInt16LE(transport + (isUdp ? 8 : (bytes.readUInt8(transport + 12) >> 4) * 4), 2);
  header.writeUInt16LE(segmentBytes, 4);
  header.writeUInt16LE(transport, 6);
  header.writeUInt16LE(isUdp ? 6 : 16, 8);
  return Buffer.concat([header, bytes]);
}

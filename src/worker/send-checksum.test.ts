/** Overlay to underlay: transport checksums that the kernel has left to us. */
import { describe, expect, it } from 'vitest';
import { INNER_VLAN } from '../segment/segment.ts';
import { VNET_HDR_BYTES } from '../wire/vnet-hdr.ts';
import { datagram, frame, newRig, SEGMENT } from './ladder-rig.ts';

const payloadOf = (inner: Uint8Array) => new Uint8Array(datagram(inner));

describe('a checksum that the kernel has left to us', () => {
  const [IPV4_BYTES, UDP_AT, TCP_AT] = [20, 6, 16];

  /** RFC 1071, over the octets themselves. */
  function sum16(bytes: Uint8Array): number {
    let sum = 0;
    for (const [i, byte] of bytes.entries()) sum += i % 2 === 0 ? byte << 8 : byte;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    return sum;
  }

  /** A frame of IPv4 whose transport checksum field holds the sum of the pseudo-header, as the kernel leaves it. */
  function partial(protocol: 'udp' | 'tcp', { tags = '', text = 'odd octets' } = {}): Buffer {
    const header = Buffer.alloc(protocol === 'udp' ? 8 : 20);
    header.writeUInt32BE(0x1234_0050, 0);
    if (protocol === 'udp') header.writeUInt16BE(8 + text.length, 4);
    else header.writeUInt8(0x50, 12);
    const transport = Buffer.concat([header, Buffer.from(text, 'latin1')]);
    const ip = Buffer.from('45000000000040004000 0000c0000201c0000202'.replace(' ', ''), 'hex');
    ip.writeUInt16BE(IPV4_BYTES + transport.length, 2);
    ip.writeUInt8(protocol === 'udp' ? 17 : 6, 9);
    const pseudo = Buffer.concat([ip.subarray(12, 20), Buffer.from([0, ip.readUInt8(9), 0, transport.length])]);
    transport.writeUInt16BE(sum16(pseudo), protocol === 'udp' ? UDP_AT : TCP_AT);
    return frame({ tags, rest: Buffer.concat([Buffer.from('0800', 'hex'), ip, transport]) });
  }

  function vnetHeader(start: number, offset: number): Buffer<ArrayBuffer> {
    const header = Buffer.alloc(VNET_HDR_BYTES);
    header.writeUInt8(1, 0);
    header.writeUInt16LE(start, 6);
    header.writeUInt16LE(offset, 8);
    return header;
  }

  /** The sum over pseudo-header and transport of what was sent: all ones if the checksum is right. */
  function verify(payload: Uint8Array, ipAt: number): number {
    const ip = Buffer.from(payload.subarray(ipAt));
    const transport = ip.subarray(IPV4_BYTES, ip.readUInt16BE(2));
    return sum16(
      Buffer.concat([ip.subarray(12, 20), Buffer.from([0, ip.readUInt8(9), 0, transport.length]), transport]),
    );
  }

  it.each([
    ['UDP', partial('udp'), 34, UDP_AT, INNER_VLAN.drop, 22],
    ['UDP of an odd length', partial('udp', { text: 'abc' }), 34, UDP_AT, INNER_VLAN.drop, 22],
    ['TCP', partial('tcp'), 34, TCP_AT, INNER_VLAN.drop, 22],
    ['TCP behind a tag that passes', partial('tcp', { tags: '81000005' }), 38, TCP_AT, INNER_VLAN.pass, 26],
    ['TCP behind a tag that goes', partial('tcp', { tags: '81000005' }), 38, TCP_AT, INNER_VLAN.strip, 22],
  ])('is finished: %s', (_, inner, start, offset, innerVlan, ipAt) => {
    const { send, underlay } = newRig([{ ...SEGMENT, innerVlan }]);
    const before = sum16(inner);
    send(inner, { vnetHeader: vnetHeader(start, offset) });
    const { payload } = underlay.sent[0] as { payload: Uint8Array };
    expect(verify(payload, ipAt)).toBe(0xffff);
    // Nothing else of the frame has changed.
    if (innerVlan === INNER_VLAN.strip) return;
    const at = 8 + start + offset;
    const others = Buffer.from(payload.subarray(8));
    others.writeUInt16BE(inner.readUInt16BE(start + offset), at - 8);
    expect([sum16(others), others.equals(inner)]).toEqual([before, true]);
  });

  it('that comes out as zero is written 0xffff, which for UDP means the same and not “none”', () => {
    const { send, underlay } = newRig();
    const inner = partial('udp', { text: 'ab\0\0' });
    // The last word makes the whole sum all ones.
    inner.writeUInt16BE(0xffff - sum16(inner.subarray(34)), inner.length - 2);
    send(inner, { vnetHeader: vnetHeader(34, UDP_AT) });
    const sent = Buffer.from((underlay.sent[0] as { payload: Uint8Array }).payload);
    expect(sent.readUInt16BE(8 + 34 + UDP_AT)).toBe(0xffff);
  });

  it('is left alone where the header does not ask for it', () => {
    const { send, underlay } = newRig();
    const inner = partial('udp');
    send(inner);
    expect(underlay.sent[0]?.payload).toEqual(payloadOf(inner));
  });

  it.each([
    [34, 200],
    [65_535, 0],
    [65_535, 65_535],
    [frame().length - 1, 0],
    [0, frame().length - 1],
  ])('is not looked for outside of the frame: from %i, at %i', (start, offset) => {
    const { send, underlay } = newRig();
    send(frame(), { vnetHeader: vnetHeader(start, offset) });
    expect(underlay.sent[0]?.payload).toEqual(payloadOf(frame()));
  });
});

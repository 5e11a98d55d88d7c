import { expect, it } from 'vitest';
import { newFrameHeaders } from '../wire/ip.ts';
import { naiveFrame, type Packet, scrambled, TCP, UDP } from './naive-frames.ts';
import { segmentCount } from './segment-count.ts';

const MTU = 1_450;

function countOf(packet: Partial<Packet>, segmentBytes = 0): number {
  const { octets } = naiveFrame({ version: 4, protocol: TCP, payload: [], ...packet });
  const view = new DataView(Uint8Array.from(octets).buffer);
  return segmentCount(view, 0, octets.length, segmentBytes, MTU, newFrameHeaders());
}

it.each<[what: string, packet: Partial<Packet>, segmentBytes: number, count: number]>([
  ['an empty segment', {}, 0, 1],
  ['a full frame', { payload: scrambled(MTU - 40) }, 0, 1],
  ['a full frame with a tag', { payload: scrambled(MTU - 40), tags: [0x81, 0, 0, 5] }, 0, 1],
  ['an octet more than the MTU holds', { payload: scrambled(MTU - 39) }, 0, 2],
  ['TCP of 45 full frames', { payload: scrambled(45 * (MTU - 40)) }, 0, 45],
  ['TCP over IPv6', { version: 6, payload: scrambled(10 * (MTU - 60) + 1) }, 0, 11],
  ['TCP with options', { tcpOptions: Array(12).fill(1), payload: scrambled(3 * (MTU - 52)) }, 0, 3],
  ['TCP of a told size', { payload: scrambled(5_000) }, 1_000, 5],
  ['TCP of a told size, all below the MTU', { payload: scrambled(900) }, 300, 3],
  ['TCP of a told size that is not exceeded', { payload: scrambled(900) }, 1_000, 1],
  ['UDP of a told size', { protocol: UDP, payload: scrambled(5_001) }, 1_000, 6],
  ['UDP whose sender did not tell: one datagram', { protocol: UDP, payload: scrambled(5_000) }, 0, 1],
  ['a fragment', { payload: scrambled(5_000), fragment: 0x2000 }, 1_000, 1],
])('of %s', (_, packet, segmentBytes, count) => {
  expect(countOf(packet, segmentBytes)).toBe(count);
});

it('is 1 for whatever is no IP, at every length', () => {
  const octets = Uint8Array.from(naiveFrame({ version: 4, protocol: TCP, payload: scrambled(200) }).octets);
  for (let length = 14; length < octets.length; length++) {
    const view = new DataView(octets.slice(0, length).buffer);
    expect(segmentCount(view, 0, length, 50, MTU, newFrameHeaders())).toBe(1);
  }
});

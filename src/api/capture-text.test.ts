import { Compile } from 'typebox/compile';
import { describe, expect, it } from 'vitest';
import { readBlock } from '../wire/capture/pcapng.ts';
import { FLOODED, REFUSED, SHORT, SUPER, TIME_US, UNSENT } from './capture-rig.ts';
import { captureEvent, commentOf, fileHead, fileLost, filePacket, lostFrames } from './capture-text.ts';
import { CaptureEventSchema } from './schemas.ts';

const summary = 'ARP, Request who-has 192.0.2.2 tell 192.0.2.1';
const macs = { src: '02:00:00:00:00:01', dst: 'ff:ff:ff:ff:ff:ff' };

describe('an event', () => {
  it.each([
    ['a flood', FLOODED, { verdict: 'flooded', vtep: '239.1.1.1', copies: 2, ...macs, length: 42, summary }],
    ['a drop', REFUSED, { direction: 'rx', verdict: 'dropped', reason: 'own-mac', ...macs, length: 42, summary }],
    ['a super-frame', SUPER, { verdict: 'forwarded', segments: 45, length: 65_042, summary }],
    ['what was not sent', UNSENT, { reason: 'no-remote', vtep: null, ...macs, length: 42, summary }],
    ['what is too short', SHORT, { vni: null, src: null, dst: null, length: 0, summary: 'too short for Ethernet' }],
  ])('of %s is of the schema', (_, frame, parts) => {
    expect(captureEvent(frame)).toMatchObject({ event: 'frame', ...parts });
    expect(Compile(CaptureEventSchema).Check(captureEvent(frame))).toBe(true);
  });

  it('tells the time to a microsecond', () => {
    expect(captureEvent(FLOODED).time).toBe('2026-01-02T03:04:05.600123Z');
    expect(captureEvent({ ...FLOODED, timeUs: TIME_US - 123 }).time).toBe('2026-01-02T03:04:05.600000Z');
  });

  it('of a loss is of the schema too', () => {
    expect(lostFrames(TIME_US, 7)).toMatchObject({ event: 'lost', count: 7, vni: null });
    expect(Compile(CaptureEventSchema).Check(lostFrames(TIME_US, 7))).toBe(true);
  });
});

describe('a comment', () => {
  it.each([
    [FLOODED, 'tx flooded to 239.1.1.1 and 2 remotes'],
    [{ ...FLOODED, copies: 0 }, 'tx flooded to 239.1.1.1'],
    [{ ...FLOODED, vtep: null, copies: 1 }, 'tx flooded to 1 remote'],
    [REFUSED, 'rx dropped: own-mac'],
    [{ ...REFUSED, verdict: 'forwarded', reason: null } as const, 'rx forwarded'],
    [SUPER, 'tx forwarded to 198.18.0.2, super-frame of 45 segments'],
    [UNSENT, 'tx dropped: no-remote, VNI 100'],
    [{ ...UNSENT, vni: null }, 'tx dropped: no-remote'],
  ])('says what became of it', (frame, text) => {
    expect(commentOf(frame)).toBe(text);
  });
});

describe('a packet in a file', () => {
  const read = (frame: typeof FLOODED) => {
    const block = Buffer.from(filePacket(frame));
    const [interfaceNumber, captured, length] = [8, 20, 24].map((at) => block.readUInt32LE(at));
    return { interfaceNumber, length, octets: block.subarray(28, 28 + (captured ?? 0)).toString('hex') };
  };

  it('has outer headers, if it is in a datagram', () => {
    const { octets, ...rest } = read(FLOODED);
    expect(rest).toEqual({ interfaceNumber: 0, length: 28 + 50 });
    expect(octets).toMatch(/^4500004e.*c6120001ef010101c35112b5003a0000/);
    expect(octets.slice(56)).toBe(Buffer.from(FLOODED.octets).toString('hex'));
  });

  it('is the frame alone, if it is in none', () => {
    const octets = Buffer.from(UNSENT.octets).toString('hex');
    expect(read(UNSENT)).toEqual({ interfaceNumber: 1, length: 42, octets });
  });

  it('keeps its length though only the beginning is there', () => {
    expect(read(SUPER)).toMatchObject({ length: 28 + 65_050 });
  });
});

it('a file begins with a section and two interfaces, of raw IP and of Ethernet', () => {
  const blocks = fileHead('vtepd 1.2.3').map((block) => Buffer.from(block));
  expect(blocks.map((block) => block.readUInt32LE(0))).toEqual([0x0a0d0d0a, 1, 1]);
  expect(blocks.slice(1).map((block) => block.readUInt16LE(8))).toEqual([101, 1]);
  expect(blocks[0]?.toString('latin1')).toContain('vtepd 1.2.3');
});

it('what is lost stands in a block of its own', () => {
  const block = fileLost(TIME_US, 12);
  expect(readBlock(new DataView(block.buffer), 0, block.length)).toMatchObject({ isPacket: false, dropped: 12 });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_SPEAKER_MESSAGE_BYTES } from '../../lib/limits.ts';
import { FrameReader, frame } from './grpc-frames.ts';

const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex');

test('messages come out as they went in, however the stream is cut', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(frame));
      const reader = new FrameReader();
      const received: string[] = [];
      for (let [at, turn] = [0, 0]; at < stream.length; turn++) {
        const cut = cuts[turn % cuts.length] as number;
        for (const message of reader.push(stream.subarray(at, at + cut))) received.push(hex(message));
        at += cut;
      }
      expect(received).toEqual(sent.map(hex));
      expect(reader.isAtEnd).toBe(true);
    }),
  );
});

test('a stream that is cut short is not at its end, at every length', () => {
  const stream = frame(Buffer.from('message'));
  for (let length = 1; length < stream.length; length++) {
    const reader = new FrameReader();
    expect([...reader.push(stream.subarray(0, length))]).toEqual([]);
    expect(reader.isAtEnd).toBe(false);
  }
});

test('a longer message than any is refused by its header', () => {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(MAX_SPEAKER_MESSAGE_BYTES, 1);
  expect([...new FrameReader().push(header)]).toEqual([]);
  header.writeUInt32BE(MAX_SPEAKER_MESSAGE_BYTES + 1, 1);
  expect(() => [...new FrameReader().push(header)]).toThrow('16777217 octets');
});

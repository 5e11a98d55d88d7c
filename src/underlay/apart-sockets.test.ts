import { beforeEach, expect, it } from 'vitest';
import { APART_WORDS, ApartSockets, readApart } from './apart-sockets.ts';

const A = { a: 0, b: 0, c: 0xffff, d: 0x0a00_0001 };
const B = { a: 0x2001_0db8, b: 0, c: -1, d: -2 };

let words: Int32Array;
let apart: ApartSockets;

beforeEach(() => {
  words = new Int32Array(new SharedArrayBuffer(4 * APART_WORDS));
  apart = new ApartSockets(words);
});

it('tells of no socket at first', () => {
  expect([apart.isEmpty, readApart(words)]).toEqual([true, { sockets: 0, source: undefined }]);
});

it('counts each socket once, with the source of the last message', () => {
  apart.add(3, A);
  expect(readApart(words)).toEqual({ sockets: 1, source: A });
  apart.add(3, B);
  apart.add(4, A);
  expect([[...apart], readApart(words)]).toEqual([[3, 4], { sockets: 2, source: A }]);
});

it('forgets the source with the last of them', () => {
  apart.add(3, A);
  apart.add(4, B);
  apart.delete(4);
  expect(readApart(words)).toEqual({ sockets: 1, source: B });
  apart.delete(3);
  apart.delete(3);
  expect([apart.isEmpty, readApart(words)]).toEqual([true, { sockets: 0, source: undefined }]);
});

it('does not take the source from words that are being written', () => {
  apart.add(3, A);
  Atomics.add(words, 0, 1);
  expect(readApart(words)).toEqual({ sockets: 1, source: undefined });
  Atomics.add(words, 0, 1);
  expect(readApart(words)).toEqual({ sockets: 1, source: A });
});

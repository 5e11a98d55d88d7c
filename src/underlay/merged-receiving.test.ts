import { expect, it } from 'vitest';
import { CUT_APART_SECONDS } from '../lib/limits.ts';
import { MergedReceiving } from './merged-receiving.ts';

const NOW = 1_000;
const APART = 10 * CUT_APART_SECONDS;

/** A socket at which something waits or not, and what the kernel was asked of it. */
function newSocket(isQueued: boolean) {
  const state = { isQueued };
  const asked: boolean[] = [];
  const receiving = new MergedReceiving({ hasQueued: () => state.isQueued, merge: (isOn) => void asked.push(isOn) });
  /** One turn of the worker, with a batch. */
  const receive = (now: number, isEmptied: boolean) => {
    receiving.mergeAgain(now);
    receiving.afterBatch(isEmptied, now);
    return asked.splice(0);
  };
  const cutApart = (now: number) => {
    receiving.cutApart(now);
    return asked.splice(0);
  };
  return { state, receive, cutApart };
}

it('asks nothing of the kernel while no message is mixed', () => {
  const { receive } = newSocket(false);
  expect([NOW, NOW + 1, NOW + 10 * APART].map((now) => receive(now, true))).toEqual([[], [], []]);
});

it('cuts at once where nothing waits, and merges again after its time, once', () => {
  const { receive, cutApart } = newSocket(false);
  expect(cutApart(NOW)).toEqual([false]);
  expect([receive(NOW, true), receive(NOW + APART - 1, true)]).toEqual([[], []]);
  expect([receive(NOW + APART, true), receive(NOW + APART + 1, true)]).toEqual([[true], []]);
});

it('cuts once all that waited has come, and never before', () => {
  const { receive, cutApart } = newSocket(true);
  expect([cutApart(NOW), receive(NOW + 1, false), receive(NOW + 1, true), receive(NOW + 2, true)]).toEqual([
    [],
    [],
    [false],
    [],
  ]);
});

it('waits no longer for a socket that never empties, whatever else is mixed meanwhile', () => {
  const { receive, cutApart } = newSocket(true);
  expect([cutApart(NOW), receive(NOW, false), cutApart(NOW + 1), receive(NOW + 1, false)]).toEqual([[], [], [], []]);
  expect(receive(NOW + 2, false)).toEqual([false]);
});

it('cuts at once what it had put off, if nothing waits at the next mixed message', () => {
  const { state, receive, cutApart } = newSocket(true);
  expect(cutApart(NOW)).toEqual([]);
  state.isQueued = false;
  expect([cutApart(NOW), receive(NOW + 2, true)]).toEqual([[false], []]);
});

it('counts its time from the last mixed message', () => {
  const { receive, cutApart } = newSocket(false);
  cutApart(NOW);
  cutApart(NOW + 100);
  expect([receive(NOW + APART, true), receive(NOW + APART + 100, true)]).toEqual([[], [true]]);
});

it('forgets a cut that it had put off when its time is over: the socket was silent', () => {
  const { receive, cutApart } = newSocket(true);
  cutApart(NOW);
  expect([receive(NOW + APART, true), receive(NOW + APART + 5, true)]).toEqual([[true], []]);
});

it('goes by the next mixed message after that', () => {
  const { receive, cutApart } = newSocket(false);
  cutApart(NOW);
  receive(NOW + APART, true);
  expect([cutApart(NOW + APART), receive(NOW + 2 * APART, true)]).toEqual([[false], [true]]);
});

it('says whether datagrams come merged', () => {
  const receiving = new MergedReceiving({ hasQueued: () => false, merge: () => {} });
  const before = receiving.mergeAgain(NOW);
  receiving.cutApart(NOW);
  expect([before, receiving.mergeAgain(NOW + APART - 1), receiving.mergeAgain(NOW + APART)]).toEqual([
    true,
    false,
    true,
  ]);
});

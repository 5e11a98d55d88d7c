import { expect, it } from 'vitest';
import { SharedLock } from './lock.ts';

const CELL = 1;

function newLocks() {
  const cells = new Int32Array(new SharedArrayBuffer(8));
  return { cells, lock: new SharedLock(cells, CELL, 7), other: new SharedLock(cells, CELL, 9) };
}

it('holds its owner’s number while it is held, and nothing else changes', () => {
  const { cells, lock } = newLocks();
  lock.acquire();
  expect([...cells]).toEqual([0, 7]);
  lock.release();
  expect([...cells]).toEqual([0, 0]);
});

it('is taken over from the owner that is named, and from nobody else', () => {
  const { cells, lock, other } = newLocks();
  expect(other.seize(7)).toBe(false);
  lock.acquire();
  expect(other.seize(8)).toBe(false);
  expect(cells[CELL]).toBe(7);
  expect(other.seize(7)).toBe(true);
  expect(cells[CELL]).toBe(9);
});

it('can be taken again after a takeover was released', () => {
  const { cells, lock, other } = newLocks();
  lock.acquire();
  other.seize(7);
  other.release();
  lock.acquire();
  expect(cells[CELL]).toBe(7);
});

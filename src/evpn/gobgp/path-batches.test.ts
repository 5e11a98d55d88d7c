import { expect, test } from 'vitest';
import { MAX_SPEAKER_PATHS } from '../../lib/limits.ts';
import type { Path } from '../route.ts';
import { readGolden } from './golden-rig.ts';
import { Message } from './message.ts';
import { PathBatches } from './path-batches.ts';

const { dialect, listPath } = readGolden('3.10');
const golden = listPath.flatMap((text) => new Message(Buffer.from(text, 'base64')).message(1)?.all(2) ?? []);

/** Hands over the messages of 10,000 paths or more. */
const take = async (receiver: { paths: (paths: readonly Path[]) => void }) => {
  const messages = Array.from({ length: Math.ceil(10_000 / golden.length) }, () => golden).flat();
  const batches = new PathBatches(dialect, { ...receiver, others: () => undefined }, (path) => !path.other);
  await batches.take(messages);
  batches.flush();
  return messages.length;
};

test('paths come whole and in order, some at a time', async () => {
  const batches: (readonly Path[])[] = [];
  await take({ paths: (paths) => batches.push(paths) });
  const paths = batches.flat();
  const round = golden.length - 3;
  expect(paths.length % round).toBe(0);
  expect(paths.slice(-round)).toEqual(paths.slice(0, round));
  expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(MAX_SPEAKER_PATHS);
});

test('other work has its turn meanwhile', async () => {
  let turns = 0;
  let isReading = true;
  const work = () => {
    turns += 1;
    if (isReading) setImmediate(work);
  };
  setImmediate(work);
  await take({ paths: () => undefined });
  isReading = false;
  expect(turns).toBeGreaterThan(2);
});

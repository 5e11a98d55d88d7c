/** Writing to the log never waits and never fails, and what is written is whole and in order. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MAX_LOG_BACKLOG_BYTES } from '../lib/limits.ts';
import { LogOutput } from './log-output.ts';

let folder = '';
const fds: number[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-output-'));
});

afterEach(() => {
  for (const fd of fds.splice(0)) closeSync(fd);
  rmSync(folder, { recursive: true });
});

function open(path: string, flags: string | number): number {
  const fd = openSync(path, flags);
  fds.push(fd);
  return fd;
}

const lines = (count: number) => Array.from({ length: count }, (_, i) => `line ${i} ${'.'.repeat(i % 300)}\n`);

it('has thousands of lines of one moment in a file, whole and in order, long ones too', async () => {
  const path = join(folder, 'log');
  const output = new LogOutput(open(path, 'a'), () => {});
  const written = [...lines(4_000), `${'x'.repeat(100_000)}\n`, 'the last\n'];
  for (const line of written) output.write(line);
  expect(await output.drain(10_000)).toBe(true);
  expect(readFileSync(path, 'utf8')).toBe(written.join(''));
  expect(output.lost).toBe(0);
});

it.each([
  ['ENOSPC', '/dev/full', 'w'],
  ['EIO', '/proc/self/mem', 'r+'],
])('loses each line that is answered with %s', async (_, path, flags) => {
  const output = new LogOutput(open(path, flags), () => {});
  for (const line of lines(50)) output.write(line);
  expect(await output.drain(5_000)).toBe(true);
  expect(output.lost).toBe(50);
});

it('keeps what fits for a reader that stalls, and tells him afterwards how many lines are lost', async () => {
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  const reader = open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const told: number[] = [];
  const output = new LogOutput(open(path, 'w'), (lost) => {
    told.push(lost);
    output.write(`lost ${lost}\n`);
  });
  const line = `${'x'.repeat(999)}\n`;
  const count = Math.ceil((MAX_LOG_BACKLOG_BYTES + 65_536) / line.length) + 200;
  for (let i = 0; i < count; i++) {
    output.write(line);
    if (i % 50 === 0) await setImmediate();
  }
  const { lost } = output;
  expect(lost).toBeGreaterThan(100);
  // He still does not read: nothing waits for him in the kernel.
  expect(await output.drain(100)).toBe(true);
  let text = '';
  const chunk = Buffer.alloc(65_536);
  const read = () => {
    try {
      text += chunk.toString('latin1', 0, readSync(reader, chunk));
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN' });
    }
  };
  const reading = setInterval(read, 1);
  expect(await output.drain(10_000)).toBe(true);
  clearInterval(reading);
  read();
  expect(told).toEqual([lost]);
  expect(text).toBe([...Array(count - lost).fill(line), `lost ${lost}\n`].join(''));
});

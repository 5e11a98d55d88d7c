/** What becomes of the sums on a processor without SIMD: V8 of a process of its own is told not to use it. */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';

/** V8 needs SSE 4.1 for SIMD on x86. Elsewhere the flag changes nothing, and SIMD cannot be switched off. */
const WITHOUT_SIMD = '--no-enable-sse4-1';

const SCRIPT = `
  import { octetSums, simdSums } from './dist/sys/simd-sums.js';
  import { Slab } from './dist/sys/slab.js';
  const slab = new Slab(65_536);
  slab.bytes.fill(0x81, 64, 1_513);
  const sums = octetSums(slab);
  const results = [sums.sum(64, 1_449), sums.copySum(4_096, 64, 1_449), slab.bytes[4_096 + 1_448]];
  console.log(JSON.stringify({ hasSimd: simdSums(slab) !== undefined, results }));
`;

const run = (...flags: string[]) =>
  JSON.parse(execFileSync(process.execPath, [...flags, '--input-type=module', '-e', SCRIPT], { encoding: 'utf8' }));

describe('octetSums of dist/', () => {
  test('are by SIMD where there is some', () => {
    expect(run()).toMatchObject({ hasSimd: true });
  });

  test('are in JavaScript where there is none, and the same', () => {
    const without = run(WITHOUT_SIMD);
    if (process.arch === 'x64') expect(without.hasSimd).toBe(false);
    expect(without.results).toEqual(run().results);
  });
});

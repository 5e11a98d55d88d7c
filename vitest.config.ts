import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * The test files that take longest, about 50 seconds and more. They start first: a long file that starts last runs alone. A fresh clone has no
 * durations of an earlier run, and then vitest starts the largest files first.
 */
const LONGEST = [
  'test/netns/evpn/failures.test.ts',
  'test/interop/offload-transfers.test.ts',
  'test/netns/offload/offload-bridge.test.ts',
  'test/netns/live/tap-changes.test.ts',
  'test/worker/zero-garbage.test.ts',
  'test/netns/live/live-vnis.test.ts',
  'test/netns/evpn/fabric.test.ts',
].map((name) => fileURLToPath(new URL(name, import.meta.url)));

for (const file of LONGEST) {
  if (!existsSync(file)) throw new Error(`${file} is in the list of vitest.config.ts, and there is no such file`);
}

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification) =>
      LONGEST.includes(moduleId) ? LONGEST.indexOf(moduleId) : LONGEST.length;
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}

/** One for each of two processors. With three, whole runs are shorter by some minutes, but tests of order and timing fail now and then. */
const MAX_WORKERS = 2;

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts'],
          maxWorkers: MAX_WORKERS,
          // Properties run hundreds of cases; how long that takes on a busy machine is no verdict.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          // These come first, by their name. The short unit tests then fill the processors to the end.
          name: 'system',
          include: ['test/**/*.test.ts'],
          maxWorkers: MAX_WORKERS,
          // Each file in a process of its own: setns() moves a whole thread, and would move its neighbours in a pool of them.
          pool: 'forks',
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

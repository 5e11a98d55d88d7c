import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts'],
          sequence: { groupOrder: 0 },
          // Properties run hundreds of cases; how long that takes on a busy machine is no verdict.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/**/*.test.ts'],
          // After the unit tests, and two files at a time: most of what they do is wait.
          sequence: { groupOrder: 1 },
          maxWorkers: 2,
          // Each file in a process of its own: setns() moves a whole thread, and would move its neighbours in a pool of them.
          pool: 'forks',
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

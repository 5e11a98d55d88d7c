import { closeSync, fstatSync, openSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { isJournal, withPriority } from './journal.ts';

describe('what goes to journald', () => {
  test.each([
    ['trace', 10, 7],
    ['debug', 20, 7],
    ['info', 30, 6],
    ['warn', 40, 4],
    ['error', 50, 3],
    ['fatal', 60, 2],
  ])('%s begins with its priority', (_, level, priority) => {
    expect(withPriority('{"event":"ready"}\n', level)).toBe(`<${priority}>{"event":"ready"}\n`);
  });

  test('each of several lines is filed alike', () => {
    expect(withPriority('WARN: tap-gone\n    tap: "vxlan100"\n', 40)).toBe(
      '<4>WARN: tap-gone\n<4>    tap: "vxlan100"\n',
    );
  });

  test('is told by device and inode of the very fd', () => {
    const fd = openSync('/dev/null', 'r');
    try {
      const { dev, ino } = fstatSync(fd);
      expect(isJournal(fd, `${dev}:${ino}`)).toBe(true);
      expect(isJournal(fd, `${dev}:${ino + 1}`)).toBe(false);
      expect(isJournal(fd, '')).toBe(false);
      expect(isJournal(fd, undefined)).toBe(false);
    } finally {
      closeSync(fd);
    }
  });
});

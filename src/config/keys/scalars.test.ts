import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseChoice,
  parseInterfaceName,
  parseOnOff,
  parsePortRange,
  parseSegmentName,
  parseSocketPath,
  parseStateDir,
  parseTos,
  parseWholeNumber,
} from './scalars.ts';
import { flagValue, type WrittenValue } from './written-value.ts';

const byte = (written: WrittenValue) => parseWholeNumber(written, { min: 1, max: 255 });
const colour = (written: WrittenValue) => parseChoice(written, ['red', 'green']);

describe('accepted values', () => {
  it.each<[parse: (written: WrittenValue) => unknown, text: string, value: unknown]>([
    [byte, '1', 1],
    [byte, '255', 255],
    [parseTos, '0', 0],
    [parseTos, '255', 255],
    [parseTos, '0x0', 0],
    [parseTos, '0xFf', 255],
    [parsePortRange, '1-65535', { first: 1, last: 65535 }],
    [parsePortRange, '5-5', { first: 5, last: 5 }],
    [colour, 'green', 'green'],
    [parseOnOff, 'on', true],
    [parseOnOff, 'off', false],
    [parseInterfaceName, 'eth0', 'eth0'],
    [parseInterfaceName, 'a'.repeat(15), 'a'.repeat(15)],
    [parseInterfaceName, 'enp3s0f1np1', 'enp3s0f1np1'],
    [parseInterfaceName, '-', '-'],
    [parseInterfaceName, '...', '...'],
    [parseSegmentName, 'Küche = 2. Stock', 'Küche = 2. Stock'],
    [parseSegmentName, '\u{1f680}'.repeat(64), '\u{1f680}'.repeat(64)],
    [parseSocketPath, '/run/vtepd/a.sock', '/run/vtepd/a.sock'],
    [parseSocketPath, `/${'s'.repeat(102)}`, `/${'s'.repeat(102)}`],
    [parseStateDir, '/var/lib/vtepd/', '/var/lib/vtepd'],
    [parseStateDir, `/${'d'.repeat(199)}/`, `/${'d'.repeat(199)}`],
  ])('%o takes %j', (parse, text, value) => {
    expect(parse(flagValue('x', text))).toEqual(value);
  });
});

describe('refusals', () => {
  it.each<[parse: (written: WrittenValue) => unknown, text: string, message: string]>([
    ...[
      '0',
      '256',
      '-1',
      '+1',
      ' 1',
      '1 ',
      '1e2',
      '0x10',
      '1.0',
      '1_0',
      '١',
      'abc',
      'NaN',
      'Infinity',
      '9'.repeat(30),
    ].map((text): [typeof byte, string, string] => {
      const quoted = text.trim() === text ? text : `"${text}"`;
      return [byte, text, `--x ${quoted}: ${quoted} is not a whole number from 1 to 255`];
    }),
    [byte, '007', '--x 007: 007 is not a whole number from 1 to 255: leave out the leading zeros'],
    [parseTos, '256', '--x 256: 256 is neither inherit nor a number from 0 to 255 (or 0x0 to 0xff)'],
    [parseTos, '0x100', '--x 0x100: 0x100 is neither inherit nor a number from 0 to 255 (or 0x0 to 0xff)'],
    [parseTos, '0x', '--x 0x: 0x is neither inherit nor a number from 0 to 255 (or 0x0 to 0xff)'],
    [parseTos, 'Inherit', '--x Inherit: Inherit is neither inherit nor a number from 0 to 255 (or 0x0 to 0xff)'],
    ...['5', '0-5', '6-5', '1-65536', '1-2-3', '-', '1-', '-1', 'a-b', '1 - 2', '01-2'].map(
      (text): [typeof parsePortRange, string, string] => [
        parsePortRange,
        text,
        `--x ${text}: ${text} is not a range of ports A-B with 1 <= A <= B <= 65535`,
      ],
    ),
    [colour, 'gren', '--x gren: gren is not one of red, green: did you mean green?'],
    [colour, 'RED', '--x RED: RED is not one of red, green: did you mean red?'],
    [colour, 'mauve', '--x mauve: mauve is not one of red, green'],
    [parseOnOff, 'true', '--x true: true is not one of on, off'],
    [
      parseInterfaceName,
      'a'.repeat(16),
      `--x ${'a'.repeat(16)}: ${'a'.repeat(16)} is not an interface name: it has 16 characters, at most 15 fit`,
    ],
    [parseInterfaceName, 'a b', '--x a b: a b is not an interface name: it can contain only visible ASCII characters'],
    [
      parseInterfaceName,
      'a\tb',
      '--x a\\tb: a\\tb is not an interface name: it can contain only visible ASCII characters',
    ],
    [
      parseInterfaceName,
      'straße',
      '--x straße: straße is not an interface name: it can contain only visible ASCII characters',
    ],
    [parseInterfaceName, 'a/b', '--x a/b: a/b is not an interface name: it cannot contain /'],
    [parseInterfaceName, 'a:1', '--x a:1: a:1 is not an interface name: it cannot contain :'],
    [parseInterfaceName, 'tap%d', '--x tap%d: tap%d is not an interface name: it cannot contain %'],
    ...['.', '..', 'all', 'default'].map((text): [typeof parseInterfaceName, string, string] => [
      parseInterfaceName,
      text,
      `--x ${text}: ${text} is not an interface name: the kernel reserves this name`,
    ]),
    [
      parseSegmentName,
      'n'.repeat(65),
      `--x ${'n'.repeat(65)}: ${'n'.repeat(65)} has 65 characters, at most 64 are allowed`,
    ],
    [parseSegmentName, 'a\nb', '--x a\\nb: a\\nb has characters that cannot be printed: leave them out'],
    [parseSegmentName, 'a\u202eb', '--x a\u202eb: a\u202eb has characters that cannot be printed: leave them out'],
    [parseSegmentName, 'a,b', '--x a,b: a,b has a comma: leave it out'],
    [parseSegmentName, 'a ', '--x "a ": "a " begins or ends with a space: leave it out'],
    [parseSocketPath, 'v.sock', '--x v.sock: v.sock is not an absolute path: begin it with /'],
    [parseSocketPath, '/run/', '--x /run/: /run/ is a directory: name the socket itself'],
    [parseSocketPath, '/a\u0000b', '--x /a\\u0000b: /a\\u0000b has characters that cannot be printed: leave them out'],
    [
      parseSocketPath,
      `/${'é'.repeat(54)}`,
      `--x /${'é'.repeat(54)}: the path has 109 bytes, a socket's can have 103: choose a shorter one`,
    ],
    [byte, '', '--x: its value is empty: give one, or leave out --x'],
  ])('%o refuses %j', (parse, text, message) => {
    expect(() => parse(flagValue('x', text))).toThrow(expect.objectContaining({ code: 'ERR_VTEP_USAGE', message }));
  });
});

it('reads every whole number in its bounds and none beside', () => {
  fc.assert(
    fc.property(fc.integer({ min: -10, max: 300 }), (number) => {
      const read = () => byte(flagValue('x', `${number}`));
      if (number >= 1 && number <= 255) expect(read()).toBe(number);
      else expect(read).toThrow('is not a whole number');
    }),
  );
});

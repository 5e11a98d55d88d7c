/** Parsers of single values that are not addresses. Each throws VtepError ERR_VTEP_USAGE for a wrong value. */
import { MAX_INTERFACE_NAME, MAX_SOCKET_PATH_BYTES, MAX_STATE_DIR_BYTES } from '../../lib/limits.ts';
import { nearestName } from './nearest-name.ts';
import { refuse, type WrittenValue } from './written-value.ts';

const MAX_NAME_CHARACTERS = 64;

/** Control, format (text direction), surrogate and private characters, and line and paragraph separators. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;

/** Plain decimal digits: no sign, space, exponent or, since other tools read it as octal, leading zero. */
const DECIMAL = /^(0|[1-9]\d{0,14})$/;

/** @param bounds both ends included */
export function parseWholeNumber(written: WrittenValue, bounds: { min: number; max: number }): number {
  const number = DECIMAL.test(written.text) ? Number(written.text) : Number.NaN;
  if (number >= bounds.min && number <= bounds.max) return number;
  const remedy = /^0\d+$/.test(written.text) ? 'leave out the leading zeros' : undefined;
  refuse(written.object, `${written.label} is not a whole number from ${bounds.min} to ${bounds.max}`, remedy);
}

/** The TOS byte as `ip link` takes it, decimal or 0x and one or two hexadecimal digits: 0 to 255; or `inherit`. */
export function parseTos(written: WrittenValue): number | 'inherit' {
  if (written.text === 'inherit') return 'inherit';
  if (/^0x[0-9a-f]{1,2}$/i.test(written.text)) return Number.parseInt(written.text, 16);
  if (DECIMAL.test(written.text) && Number(written.text) <= 255) return Number(written.text);
  refuse(written.object, `${written.label} is neither inherit nor a number from 0 to 255 (or 0x0 to 0xff)`);
}

/** `A-B` with 1 <= A <= B <= 65535. */
export function parsePortRange(written: WrittenValue): { first: number; last: number } {
  const [first, last, ...rest] = written.text
    .split('-')
    .map((text) => (DECIMAL.test(text) ? Number(text) : Number.NaN));
  if (first !== undefined && last !== undefined && rest.length === 0 && first >= 1 && first <= last && last <= 65535) {
    return { first, last };
  }
  refuse(written.object, `${written.label} is not a range of ports A-B with 1 <= A <= B <= 65535`);
}

/** One of `choices`, in exactly that spelling. */
export function parseChoice<T extends string>(written: WrittenValue, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === written.text);
  if (choice !== undefined) return choice;
  const nearest = nearestName(written.text, choices);
  refuse(written.object, `${written.label} is not one of ${choices.join(', ')}`, nearest && `did you mean ${nearest}?`);
}

export function parseOnOff(written: WrittenValue): boolean {
  return parseChoice(written, ['on', 'off']) === 'on';
}

/**
 * The name of a network interface: what the kernel's dev_valid_name() accepts (1 to 15 bytes, no `/`, `:` or white space,
 * neither `.` nor `..`), less `%`, which makes it a pattern, less `all` and `default`, which are directories under
 * /proc/sys/net, and less what is not ASCII, of which the kernel takes some bytes for spaces.
 */
export function parseInterfaceName(written: WrittenValue): string {
  const { object, label, text } = written;
  const cause = interfaceNameFault(text);
  if (cause !== undefined) refuse(object, `${label} is not an interface name: ${cause}`);
  return text;
}

function interfaceNameFault(text: string): string | undefined {
  if (text.length > MAX_INTERFACE_NAME) return `it has ${text.length} characters, at most ${MAX_INTERFACE_NAME} fit`;
  if (!/^[!-~]+$/.test(text)) return 'it can contain only visible ASCII characters';
  const forbidden = /[/:%]/.exec(text)?.[0];
  if (forbidden !== undefined) return `it cannot contain ${forbidden}`;
  if (['.', '..', 'all', 'default'].includes(text)) return 'the kernel reserves this name';
  return undefined;
}

/** The name of a segment: 1 to 64 printable characters, no comma (which ends a key), no space at either end. */
export function parseSegmentName(written: WrittenValue): string {
  const { object, label, text } = written;
  const count = [...text].length;
  if (count > MAX_NAME_CHARACTERS) {
    refuse(object, `${label} has ${count} characters, at most ${MAX_NAME_CHARACTERS} are allowed`);
  }
  if (UNPRINTABLE.test(text)) refuse(object, `${label} has characters that cannot be printed`, 'leave them out');
  if (text.includes(',')) refuse(object, `${label} has a comma`, 'leave it out');
  if (text !== text.trim()) refuse(object, `${label} begins or ends with a space`, 'leave it out');
  return text;
}

/** Absolute path of a Unix socket, at most MAX_SOCKET_PATH_BYTES of UTF-8. */
export function parseSocketPath(written: WrittenValue): string {
  const { object, label, text } = written;
  if (!text.startsWith('/')) refuse(object, `${label} is not an absolute path`, 'begin it with /');
  if (text.endsWith('/')) refuse(object, `${label} is a directory`, 'name the socket itself');
  if (UNPRINTABLE.test(text)) refuse(object, `${label} has characters that cannot be printed`, 'leave them out');
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    refuse(object, `the path has ${bytes} bytes, a socket's can have ${MAX_SOCKET_PATH_BYTES}`, 'choose a shorter one');
  }
  return text;
}

/**
 * Absolute path of a directory other than the root, at most MAX_STATE_DIR_BYTES of UTF-8: without `//`, `.` or `..`, so that one directory is written
 * one way.
 */
export function parseStateDir(written: WrittenValue): string {
  const { object, label, text } = written;
  if (!text.startsWith('/')) refuse(object, `${label} is not an absolute path`, 'begin it with /');
  if (UNPRINTABLE.test(text)) refuse(object, `${label} has characters that cannot be printed`, 'leave them out');
  const path = text.endsWith('/') ? text.slice(0, -1) : text;
  const steps = path.split('/').slice(1);
  if (steps.length === 0 || steps.some((step) => ['', '.', '..'].includes(step))) {
    refuse(object, `${label} is the root directory, or contains //, . or ..`, 'write it like /var/lib/vtepd');
  }
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > MAX_STATE_DIR_BYTES) {
    refuse(object, `the path has ${bytes} bytes, at most ${MAX_STATE_DIR_BYTES} are allowed`, 'choose a shorter one');
  }
  return path;
}

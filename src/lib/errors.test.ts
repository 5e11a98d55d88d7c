import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ERROR_CATALOGUE, type ErrorCode, VtepError } from './errors.ts';

const CODES = Object.keys(ERROR_CATALOGUE) as ErrorCode[];

/** What a terminal, a log reader or a line splitter may take for the end of a line or for a command. */
const BREAKS = ['\n', '\r', '\v', '\f', '\0', '\x1b[2J', '\x7f', '\x85', '\x9b', '\u2028', '\u2029', '\r\n'];
const text = fc
  .array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...BREAKS)))
  .map((parts) => parts.join(''));

describe('VtepError', () => {
  it('names the object, the cause and the remedy in this order', () => {
    const error = new VtepError('ERR_VTEP_TAP', { object: 'TAP "vxlan100"', cause: 'EPERM', remedy: 'run as root' });
    expect(error.message).toBe('TAP "vxlan100": EPERM: run as root');
    expect(error).toBeInstanceOf(Error);
    expect([error.name, error.code, error.exitCode, error.httpStatus]).toEqual(['VtepError', 'ERR_VTEP_TAP', 1, 409]);
  });

  it.each([undefined, ''])('ends with the cause where the remedy is %j', (remedy) => {
    expect(new VtepError('ERR_VTEP_USAGE', { object: '--vni 0', cause: 'out of range', remedy }).message).toBe(
      '--vni 0: out of range',
    );
  });

  it.each([
    ['\n', '\\n'],
    ['\r', '\\r'],
    ['\t', '\\t'],
    ['\0', '\\u0000'],
    ['\x1b', '\\u001b'],
    ['\x85', '\\u0085'],
    ['\u2028', '\\u2028'],
    ['\u2029', '\\u2029'],
  ])('shows %j as %s', (char, shown) => {
    expect(new VtepError('ERR_VTEP_USAGE', { object: `a${char}b`, cause: char, remedy: char }).message).toBe(
      `a${shown}b: ${shown}: ${shown}`,
    );
  });

  it('is one line without control characters, whatever it is made of', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CODES), text, text, text, (code, object, cause, remedy) => {
        const { message } = new VtepError(code, { object, cause, remedy });
        for (const char of message) {
          const point = char.codePointAt(0) ?? 0;
          expect(point < 0x20 || (point >= 0x7f && point < 0xa0) || point === 0x2028 || point === 0x2029).toBe(false);
        }
      }),
    );
  });

  it('leaves printable text as it is, umlauts and emoji too', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[ -~\u00a1-\u00ff\u{1f600}-\u{1f64f}]+$/u), (object) => {
        expect(new VtepError('ERR_VTEP_SYSTEM', { object, cause: 'EIO' }).message).toBe(`${object}: EIO`);
      }),
    );
  });
});

describe('catalogue', () => {
  it('gives each code its exit code and HTTP status', () => {
    expect(Object.fromEntries(CODES.map((code) => [code, exitAndStatus(code)]))).toEqual({
      ERR_VTEP_USAGE: [64, 400],
      ERR_VTEP_SYSTEM: [1, 500],
      ERR_VTEP_INTERFACE: [1, 409],
      ERR_VTEP_TAP: [1, 409],
      ERR_VTEP_PORT_IN_USE: [1, 409],
      ERR_VTEP_CONTROL_SOCKET: [1, 500],
      ERR_VTEP_HTTP: [1, 500],
      ERR_VTEP_STATE_DIR: [1, 500],
      ERR_VTEP_NOT_FOUND: [1, 404],
      ERR_VTEP_CONFLICT: [1, 409],
      ERR_VTEP_LIMIT: [1, 409],
      ERR_VTEP_BUSY: [1, 503],
      ERR_VTEP_UNREACHABLE: [2, 503],
      ERR_VTEP_INTERNAL: [2, 500],
    });
  });
});

function exitAndStatus(code: ErrorCode): [number, number] {
  const error = new VtepError(code, { object: 'x', cause: 'y' });
  return [error.exitCode, error.httpStatus];
}

import { constants } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VtepError } from '../lib/errors.ts';
import { close } from './libc.ts';
import { check, ERRNO, errnoName, SysError } from './sys-error.ts';

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('errnoName', () => {
  it.each(Object.entries(ERRNO))('knows %s by its value on Linux, %i', (name, value) => {
    expect(errnoName(value)).toBe(name);
  });

  it.each(Object.entries(ERRNO).filter(([name]) => name !== 'EBADFD'))(
    'has the value of node for %s',
    (name, value) => {
      expect(new Map(Object.entries(constants.errno)).get(name)).toBe(value);
    },
  );

  it.each([0, -1, 4095, 100_000])('says the number where %i has no name', (value) => {
    expect(errnoName(value)).toBe(`errno ${value}`);
  });
});

describe('SysError', () => {
  it('names the object, the errno with its text, and the remedy', () => {
    const error = new SysError('UDP 192.0.2.1:4789', ERRNO.EADDRINUSE);
    expect(error.message).toBe(
      'UDP 192.0.2.1:4789: EADDRINUSE (address already in use): stop what uses it, or choose another one',
    );
    expect(error).toBeInstanceOf(VtepError);
    expect([error.name, error.code, error.errno]).toEqual(['SysError', 'ERR_VTEP_SYSTEM', 98]);
  });

  it('takes a code and a remedy of the caller instead of its own', () => {
    const error = new SysError('TAP "a"', ERRNO.EPERM, { code: 'ERR_VTEP_TAP', remedy: 'ask root' });
    expect(error.message).toBe('TAP "a": EPERM (operation not permitted): ask root');
    expect(error.code).toBe('ERR_VTEP_TAP');
  });

  it('ends with the cause where nobody knows a remedy', () => {
    expect(new SysError('x', ERRNO.EBADF).message).toBe('x: EBADF (bad file descriptor)');
  });

  it('says an errno that node does not know by its name or number alone', () => {
    expect(new SysError('TAP "a"', ERRNO.EBADFD).message).toBe('TAP "a": EBADFD');
    expect(new SysError('TAP "a"', 200).message).toBe('TAP "a": errno 200');
  });

  it('is one line with the object and the name of the errno, whatever the errno', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), (value) => {
        const { message } = new SysError('fd 7\nof a "name"', value);
        expect(message).not.toMatch(/[\n\r]/);
        expect(message).toMatch(/^fd 7.+of a "name": /);
        expect(message).toContain(`: ${errnoName(value)}`);
      }),
    );
  });
});

describe('check', () => {
  it.each([0, 1, 0x7fff_ffff])('passes the result %i through', (result) => {
    expect(check(result, 'anything')).toBe(result);
  });

  it('throws what the failed system call left in errno', () => {
    const error = thrownBy(() => check(close(-1), 'fd -1', { remedy: 'open it' }));
    expect(error).toBeInstanceOf(SysError);
    expect(error).toMatchObject({
      errno: ERRNO.EBADF,
      message: 'fd -1: EBADF (bad file descriptor): open it',
    });
  });
});

import { describe, expect, it } from 'vitest';
import { formatHttpAddress, parseHttpAddress } from './http-address.ts';
import { flagValue } from './keys/written-value.ts';

const REMEDY = 'write 127.0.0.1:9477 or [::1]:9477 for this host alone, [::]:9477 for every address';

describe('--http', () => {
  it.each([
    ['127.0.0.1:9477', '127.0.0.1', 9477],
    ['[::1]:1', '::1', 1],
    ['0.0.0.0:65535', '0.0.0.0', 65535],
    ['[::]:9477', '::', 9477],
    ['[fd00:18::1]:9477', 'fd00:18::1', 9477],
  ])('%s', (text, address, port) => {
    const parsed = parseHttpAddress(flagValue('http', text));
    expect(parsed).toEqual({ address, port });
    expect(formatHttpAddress(parsed)).toBe(text);
  });

  it.each([
    ['9477', `9477 is not ADDR:PORT: ${REMEDY}`],
    ['127.0.0.1', `127.0.0.1 is not ADDR:PORT: ${REMEDY}`],
    [':9477', `:9477 has no address: ${REMEDY}`],
    ['*:9477', `* is not an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
    ['localhost:9477', `localhost is not an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
    ['::1:9477', `::1 is not an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
    ['[::1]', `[: is not an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
    ['[127.0.0.1]:9477', `[127.0.0.1] is not an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
    ['[fe80::1%eth0]:9477', `[fe80::1%eth0] is not an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
    ['239.1.1.1:9477', `239.1.1.1 is a multicast address: ${REMEDY}`],
    ['127.0.0.1:0', 'port 0 is not a whole number from 1 to 65535'],
    ['127.0.0.1:', `127.0.0.1: is not ADDR:PORT: ${REMEDY}`],
    ['127.0.0.1:65536', 'port 65536 is not a whole number from 1 to 65535'],
    ['127.0.0.1:x', 'port x is not a whole number from 1 to 65535'],
  ])('refuses %s', (text, message) => {
    expect(() => parseHttpAddress(flagValue('http', text))).toThrow(`--http ${text}: ${message}`);
  });
});

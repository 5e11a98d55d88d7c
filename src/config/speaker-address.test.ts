import { expect, it } from 'vitest';
import { flagValue } from './keys/written-value.ts';
import { formatSpeakerAddress, parseSpeakerAddress } from './speaker-address.ts';

it.each([
  ['127.0.0.1:50051', { kind: 'tcp', host: '127.0.0.1', port: 50_051 }],
  ['[::1]:50051', { kind: 'tcp', host: '::1', port: 50_051 }],
  ['[FD00::0:1]:1', { kind: 'tcp', host: 'fd00::1', port: 1 }, '[fd00::1]:1'],
  ['localhost:65535', { kind: 'tcp', host: 'localhost', port: 65_535 }],
  ['gobgp-1.example.net:50051', { kind: 'tcp', host: 'gobgp-1.example.net', port: 50_051 }],
  ['unix:/run/gobgp/api.sock', { kind: 'unix', path: '/run/gobgp/api.sock' }],
  // As GoBGP's own option has it.
  ['unix:///run/gobgp/api.sock', { kind: 'unix', path: '/run/gobgp/api.sock' }, 'unix:/run/gobgp/api.sock'],
])('%s', (text, address, canonical = text) => {
  expect(parseSpeakerAddress(flagValue('evpn', text))).toEqual(address);
  expect(formatSpeakerAddress(parseSpeakerAddress(flagValue('evpn', text)))).toBe(canonical);
});

const REMEDY = 'write 127.0.0.1:50051, [::1]:50051 or unix:/run/gobgp/api.sock';

it.each([
  ['50051', `50051 is not HOST:PORT: ${REMEDY}`],
  ['127.0.0.1', `127.0.0.1 is not HOST:PORT: ${REMEDY}`],
  ['[::1]', `[::1] is not HOST:PORT: ${REMEDY}`],
  [':50051', `:50051 has no host: ${REMEDY}`],
  ['::1:50051', `::1 is not a host name, an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
  ['127.0.0:50051', `127.0.0 is not a host name, an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
  [
    'http://localhost:1',
    `http://localhost is not a host name, an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`,
  ],
  ['[fe80::1%eth0]:1', `[fe80::1%eth0] is not a host name, an IPv4 address, or an IPv6 address in brackets: ${REMEDY}`],
  ['0.0.0.0:50051', `0.0.0.0 is the unspecified address: ${REMEDY}`],
  ['[ff02::1]:50051', `[ff02::1] is a multicast address: ${REMEDY}`],
  ['localhost:0', 'port 0 is not a whole number from 1 to 65535'],
  ['localhost:http', 'port http is not a whole number from 1 to 65535'],
  ['unix:run/api.sock', 'run/api.sock is not an absolute path: begin it with /'],
  ['unix:', '"" is not an absolute path: begin it with /'],
  ['unix:/run/', '/run/ is a directory: name the socket itself'],
])('%s is refused', (text, cause) => {
  expect(() => parseSpeakerAddress(flagValue('evpn', text))).toThrow(`--evpn ${text}: ${cause}`);
});

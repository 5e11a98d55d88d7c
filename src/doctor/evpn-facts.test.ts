import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import type { EvpnRouteRow, EvpnSource } from '../evpn/evpn-status.ts';
import { gatherEvpn } from './evpn-facts.ts';
import { readListeners } from './proc-files.ts';

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

/** @returns the port */
async function listenOn(host: string): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen({ host, port: 0, ipv6Only: host === '::' }, resolve));
  return (server.address() as AddressInfo).port;
}

const source = (rows: readonly Partial<EvpnRouteRow>[] = []): EvpnSource => ({
  status: () => ({}) as ReturnType<EvpnSource['status']>,
  rows: () => rows as EvpnRouteRow[],
});
const exposedAt = async (host: string, port: number) =>
  (await gatherEvpn(source(), { kind: 'tcp', host, port })).exposed;

it.each([
  ['127.0.0.1', []],
  ['127.0.0.2', []],
  ['::1', []],
  ['0.0.0.0', ['0.0.0.0']],
  ['::', ['::']],
])('an API that listens on %s is open on %j', async (host, exposed) => {
  const port = await listenOn(host);
  expect(await exposedAt('localhost', port)).toEqual(exposed);
  expect(await exposedAt('127.0.0.1', port)).toEqual(exposed);
});

it('an API at another address than loopback is open there', async () => {
  expect(await exposedAt('198.18.0.1', 50_051)).toEqual(['198.18.0.1']);
  expect(await exposedAt('fd00::1', 50_051)).toEqual(['fd00::1']);
  expect((await gatherEvpn(source(), { kind: 'unix', path: '/run/gobgp.sock' })).exposed).toEqual([]);
});

it('reads sockets that listen at the port, and no others', () => {
  const text = [
    '  sl  local_address rem_address   st tx_queue rx_queue',
    '   0: 0100007F:C383 00000000:0000 0A 00000000:00000000',
    '   1: 010012C6:C383 020012C6:9999 01 00000000:00000000',
    '   2: 010012C6:C384 00000000:0000 0A 00000000:00000000',
    '   3: 010012C6:C383 00000000:0000 0A 00000000:00000000',
    '   4: 0000000000000000FFFF0000010012C6:C383 00000000000000000000000000000000:0000 0A 0',
    '   5: 000000FD000000000000000001000000:C383 00000000000000000000000000000000:0000 0A 0',
  ].join('\n');
  expect(readListeners(text, 50_051)).toEqual(['127.0.0.1', '198.18.0.1', '198.18.0.1', 'fd00::1']);
});

it('counts the routes that no VNI imports, with the first as example', async () => {
  const rows: Partial<EvpnRouteRow>[] = Array.from({ length: 3_000 }, (_, i) => ({
    label: i,
    unused: i % 3 === 1 ? 'no-target' : i % 3 === 2 ? 'own' : undefined,
  }));
  const { unimported } = await gatherEvpn(source(rows), { kind: 'unix', path: '/x' });
  expect(unimported).toEqual({ count: 1_000, example: rows[1] });
});

/** Places that are listened at, on loopback. */
import { createSocket } from 'node:dgram';
import { afterEach, expect, it } from 'vitest';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { recv } from '../sys/libc.ts';
import { HeldPort } from './held-port.ts';
import { Listeners } from './listeners.ts';

const LOCAL = parseIp('127.6.0.9') as IpAddress;

const open: Listeners[] = [];
afterEach(() => {
  for (const listeners of open.splice(0)) listeners.closeAll();
});

async function send(port: number, text: string): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.send(text, port, LOCAL, (error) => (error ? reject(error) : resolve()));
  });
  socket.close();
}

/** What waits at a place, read by its workers in turn. */
function read(fds: readonly number[]): string[] {
  const texts: string[] = [];
  for (const fd of fds) {
    const bytes = Buffer.alloc(100);
    for (let length = recv(fd, bytes, 100, 0); length >= 0; length = recv(fd, bytes, 100, 0)) {
      texts.push(bytes.toString('latin1', 0, length));
    }
  }
  return texts;
}

it.each([1, 3])(
  'a place that is given up loses nothing to the wider one beside it, with %i workers',
  async (workers) => {
    let sockets = 0;
    const probe = createSocket('udp4');
    const port = await new Promise<number>((resolve) => probe.bind(0, () => resolve(probe.address().port)));
    await new Promise<void>((resolve) => probe.close(() => resolve()));
    const held = new HeldPort({ sharesGroups: false });
    const listeners = new Listeners({ held, port, workers, nextSocket: () => sockets++, udpGro: false });
    open.push(listeners);
    const wide = listeners.take({ family: 4, local: undefined, device: undefined }).listener;
    const narrow = listeners.take({ family: 4, local: LOCAL, device: undefined }).listener;
    await send(port, 'queued');
    expect(listeners.release(narrow)).toBe(true);
    const emptied = listeners.emptied(narrow);
    for (let i = 0; i < 8; i++) await send(port, `later ${i}`);
    expect(read(narrow.fds)).toEqual(['queued']);
    await emptied;
    listeners.close(narrow);
    expect(read(wide.fds).toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => `later ${i}`));
  },
);

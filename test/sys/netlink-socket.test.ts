import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import koffi from 'koffi';
import { expect, onTestFinished, test } from 'vitest';
import { VtepError } from '../../src/lib/errors.ts';
import { send } from '../../src/sys/libc.ts';
import { listAddresses } from '../../src/sys/netlink/addresses.ts';
import { findLink, listLinks } from '../../src/sys/netlink/links.ts';
import { message } from '../../src/sys/netlink/netlink-message.ts';
import { NetlinkSocket } from '../../src/sys/netlink/netlink-socket.ts';
import { createNamespace, deleteNamespace, inNamespace } from '../support/host/namespaces.ts';

const RTM_GETADDR = 22;
const NLM_F_REQUEST_DUMP = 0x301;
const ADDRESSES = 2_000;

const dup2 = koffi.load(null).func('int dup2(int from, int to)') as (from: number, to: number) => number;

/** Sockets that this process has open. */
function sockets(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
      } catch {
        return false;
      }
    });
}

/** One in a namespace of its own, which has many addresses, and the fd that it has. */
function openSocket(): { namespace: string; netlink: NetlinkSocket; fd: number } {
  const namespace = createNamespace('requests');
  onTestFinished(() => deleteNamespace(namespace));
  execFileSync('ip', ['-n', namespace, '-batch', '-'], { input: addresses('add', 10) });
  const before = sockets();
  const netlink = inNamespace(namespace, () => new NetlinkSocket());
  onTestFinished(() => netlink.close());
  const [fd = -1] = sockets().filter((each) => !before.includes(each));
  return { namespace, netlink, fd };
}

function addresses(change: string, net: number): string {
  return Array.from({ length: ADDRESSES }, (_, i) => `addr ${change} ${net}.0.${i >> 8}.${i & 255}/32 dev lo\n`).join(
    '',
  );
}

test('a list that nobody read to its end does not answer the next request', () => {
  const { namespace, netlink, fd } = openSocket();
  const dump = message(RTM_GETADDR, NLM_F_REQUEST_DUMP, 77, [Buffer.alloc(8)]);
  expect(send(fd, dump, dump.length, 0)).toBe(dump.length);
  expect(findLink(netlink, 'lo')?.name).toBe('lo');
  // The kernel lists one thing at a time for a socket.
  const again = inNamespace(namespace, () => {
    try {
      return listAddresses(netlink).length;
    } catch (error) {
      return (error as Error).message;
    }
  });
  expect(['list of addresses: EBUSY (resource busy or locked)', ADDRESSES + 1]).toContain(again);
  expect(inNamespace(namespace, () => listAddresses(netlink))).toHaveLength(ADDRESSES + 1);
});

test('a socket that has gone bad costs one request', () => {
  const { namespace, netlink, fd } = openSocket();
  const file = openSync('/dev/null', 'r');
  dup2(file, fd);
  closeSync(file);
  expect(() => inNamespace(namespace, () => listLinks(netlink))).toThrow('list of links: ENOTSOCK');
  expect(inNamespace(namespace, () => listLinks(netlink))).toHaveLength(1);
  expect(inNamespace(namespace, () => listAddresses(netlink))).toHaveLength(ADDRESSES + 1);
});

test('what is asked for while addresses come and go is answered or refused as busy, soon, and rightly afterwards', async () => {
  const { namespace, netlink } = openSocket();
  const churn = spawn('ip', ['-n', namespace, '-batch', '-']);
  const over = once(churn, 'exit');
  churn.stdin.end(Array.from({ length: 3 }, () => addresses('add', 11) + addresses('del', 11)).join(''));
  let [answers, refusals, longestMs] = [0, 0, 0];
  while (churn.exitCode === null) {
    const startMs = performance.now();
    try {
      listAddresses(netlink);
      answers++;
    } catch (error) {
      expect(error).toBeInstanceOf(VtepError);
      expect((error as VtepError).code).toBe('ERR_VTEP_BUSY');
      refusals++;
    }
    longestMs = Math.max(longestMs, performance.now() - startMs);
    expect(findLink(netlink, 'lo')?.name).toBe('lo');
    await new Promise((resolve) => setImmediate(resolve));
  }
  await over;
  expect(answers + refusals).toBeGreaterThan(3);
  expect(longestMs).toBeLessThan(2_000);
  expect(listAddresses(netlink)).toHaveLength(ADDRESSES + 1);
});

/**
 * Real TAPs, opened by the test itself in a namespace: their kind, their queues, and the offloads that the kernel agreed to.
 *
 *     frames ──► tap0 ──► queue 0, queue 1, …     fds of this process
 */
import { afterEach, expect, test } from 'vitest';
import { VtepError } from '../../../src/lib/errors.ts';
import { close } from '../../../src/sys/libc.ts';
import { type OpenTap, openTap, resetOffloads, type TapMode, type TapOptions } from '../../../src/sys/tun.ts';
import {
  AF_INET,
  close as closeSocket,
  ioctl,
  memoryAddress,
  read,
  SOCK_DGRAM,
  socket,
} from '../../support/host/libc.ts';
import { inNamespace, ipJson } from '../../support/host/namespaces.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { ETHERTYPE, ethernet, udpInIpv4 } from '../../support/traffic/frames.ts';

/** A frame's place in what a TAP's fd gives: behind the vnet header. */
const VNET_HDR_BYTES = 10;
const FLOWS = 64;

interface TunLink {
  readonly linkinfo: { readonly info_data: Readonly<Record<'type' | 'multi_queue' | 'numqueues' | 'user', unknown>> };
}

describeSystem('TAPs', () => {
  const lab = useLab({ hosts: 1 });
  const host = lab.host(1);
  const open: OpenTap[] = [];

  function closeAll(): void {
    for (const fd of open.splice(0).flatMap(({ fds }) => fds)) close(fd);
  }

  afterEach(closeAll);

  function newTap(options: Partial<TapOptions> = {}, mode: TapMode = 'create'): OpenTap {
    const wanted = { queues: 1, gso: false, gro: false, ...options };
    const tap = inNamespace(host.namespace, () => openTap('tap0', mode, wanted));
    open.push(tap);
    return tap;
  }

  function refusal(options: Partial<TapOptions>, mode: TapMode = 'attach'): string {
    try {
      newTap(options, mode);
    } catch (error) {
      if (error instanceof VtepError) return error.message;
      throw error;
    }
    throw new Error('the kernel agreed');
  }

  const shown = () =>
    ipJson<TunLink[]>('-n', host.namespace, '-d', 'link', 'show', 'tap0')[0]?.linkinfo.info_data ?? {};

  /** Whether the kernel may give TCP super-frames to the TAP. */
  function tsoIsOn(): boolean {
    const [SIOCETHTOOL, ETHTOOL_GTSO] = [0x8946, 0x1e];
    const value = Buffer.alloc(8);
    value.writeUInt32LE(ETHTOOL_GTSO, 0);
    const request = Buffer.alloc(40);
    request.write('tap0', 'latin1');
    request.writeBigUInt64LE(memoryAddress(value), 16);
    inNamespace(host.namespace, () => {
      const fd = socket(AF_INET, SOCK_DGRAM, 0);
      ioctl(fd, SIOCETHTOOL, request);
      closeSocket(fd);
    });
    return value.readUInt32LE(4) !== 0;
  }

  test('one queue: a single-queue TAP of this user', () => {
    expect(newTap().fds).toHaveLength(1);
    expect(shown()).toMatchObject({ type: 'tap', multi_queue: false, user: 'root' });
  });

  test.each([2, 16])('%i queues: a multi-queue TAP of this user, with that many', (queues) => {
    expect(new Set(newTap({ queues }).fds).size).toBe(queues);
    expect(shown()).toMatchObject({ type: 'tap', multi_queue: true, numqueues: queues, user: 'root' });
  });

  test('flows spread over the queues, and each stays with its own', () => {
    const { fds } = newTap({ queues: 2 });
    host.ip('link', 'set', 'tap0', 'up');
    const inside = host.packetSocket('tap0');
    const [src, dst] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
    for (let sequence = 0; sequence < 3; sequence++) {
      for (let flow = 0; flow < FLOWS; flow++) {
        const packet = { src: '192.0.2.1', dst: '192.0.2.2', sourcePort: 1000 + flow, destinationPort: 7 };
        const payload = udpInIpv4({ ...packet, payload: Buffer.from([sequence]) });
        inside.send(ethernet({ dst, src, type: ETHERTYPE.ipv4, payload }));
      }
    }
    const queues = fds.map(readSourcePorts);
    const flows = queues.map((ports) => new Set(ports));
    for (const [queue, ports] of queues.entries()) {
      expect(flows[queue]?.size).toBeGreaterThan(FLOWS / 8);
      expect(ports).toHaveLength(3 * (flows[queue]?.size ?? 0));
    }
    expect(flows[0]?.size).toBe(FLOWS - (flows[1]?.size ?? 0));
  });

  test.each([
    [
      { gso: true, gro: true },
      { gso: true, mergesUdp: true },
    ],
    [
      { gso: true, gro: false },
      { gso: true, mergesUdp: true },
    ],
    [
      { gso: false, gro: true },
      { gso: false, mergesUdp: true },
    ],
    [
      { gso: false, gro: false },
      { gso: false, mergesUdp: false },
    ],
  ])('offloads: %j are, on a kernel that knows all, %j', (wanted, inForce) => {
    for (const queues of [1, 2]) {
      expect(newTap({ ...wanted, queues })).toMatchObject(inForce);
      expect(tsoIsOn()).toBe(inForce.gso);
      closeAll();
    }
  });

  test('what another program has set of an existing TAP is set anew', () => {
    host.ip('tuntap', 'add', 'dev', 'tap0', 'mode', 'tap');
    lab.scope.defer(() => void host.ip('link', 'del', 'tap0'));
    newTap({ gso: true }, 'attach');
    closeAll();
    expect(tsoIsOn()).toBe(true);
    newTap({}, 'attach');
    expect(tsoIsOn()).toBe(false);
  });

  test('offloads that are reset are off for whoever attaches next', () => {
    resetOffloads(newTap({ gso: true }).fds[0]);
    expect(tsoIsOn()).toBe(false);
  });

  test.each([
    [1, 'multi', 'single', ''],
    [2, 'single', 'multi', ' multi_queue'],
  ])('%i queues of an existing %s-queue TAP are refused, and the remedy works', (queues, _, wanted, kind) => {
    const make = (...words: string[]) => host.ip('tuntap', 'add', 'dev', 'tap0', 'mode', 'tap', ...words);
    make(...(queues === 1 ? ['multi_queue'] : []));
    expect(refusal({ queues })).toBe(
      `TAP "tap0": a device of that name exists, and is not a ${wanted}-queue TAP: ` +
        `delete it, make it again with \`ip tuntap add dev tap0 mode tap${kind}\`, or name another TAP with tap=`,
    );
    host.ip('link', 'del', 'tap0');
    make(...kind.split(' ').filter((word) => word !== ''));
    lab.scope.defer(() => void host.ip('link', 'del', 'tap0'));
    expect(newTap({ queues }, 'attach').fds).toHaveLength(queues);
  });

  test.each([1, 2])('an existing TAP is not created again, with %i queues', (queues) => {
    newTap({ queues });
    expect(refusal({ queues }, 'create')).toMatch('TAP "tap0": the name is in use');
  });
});

/** Inner UDP source ports of all that waits at a TAP's queue. */
function readSourcePorts(fd: number): number[] {
  const ports: number[] = [];
  const frame = Buffer.alloc(2048);
  while (read(fd, frame) >= 0) ports.push(frame.readUInt16BE(VNET_HDR_BYTES + 14 + 20));
  return ports;
}

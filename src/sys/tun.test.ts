import { accessSync, constants, readdirSync, readlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VtepError } from '../lib/errors.ts';
import { negotiateOffload, openTap, type TapOffloadWanted, tapCommand } from './tun.ts';

/** These need the right to open /dev/net/tun, and make no device: the kernel refuses each name first. */
function canOpen(): boolean {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function openTuns(): number {
  let count = 0;
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) === '/dev/net/tun') count++;
    } catch {
      // The fd of the listing itself is closed by now.
    }
  }
  return count;
}

function refusal(name: string, mode: 'create' | 'attach', queues = 1): VtepError {
  try {
    openTap(name, mode, { queues, gso: false, gro: false });
  } catch (error) {
    if (error instanceof VtepError) return error;
    throw error;
  }
  throw new Error(`the kernel made or attached TAP ${name}`);
}

describe.skipIf(!canOpen())('openTap, where an interface that is no TAP has the name', () => {
  it('refuses to create it, saying that the name is in use', () => {
    const error = refusal('lo', 'create');
    expect(error.code).toBe('ERR_VTEP_TAP');
    expect(error.message).toBe(
      'TAP "lo": the name is in use: stop the program that uses it, or name another TAP with tap=',
    );
  });

  it('refuses to attach to it, saying how to make a TAP', () => {
    const error = refusal('lo', 'attach');
    expect(error.code).toBe('ERR_VTEP_TAP');
    expect(error.message).toBe(
      'TAP "lo": a device of that name exists, and is not a single-queue TAP: ' +
        'delete it, make it again with `ip tuntap add dev lo mode tap`, or name another TAP with tap=',
    );
  });

  it('refuses to attach several queues to it, saying how to make a TAP that has them', () => {
    expect(refusal('lo', 'attach', 2).message).toBe(
      'TAP "lo": a device of that name exists, and is not a multi-queue TAP: ' +
        'delete it, make it again with `ip tuntap add dev lo mode tap multi_queue`, or name another TAP with tap=',
    );
  });

  it('leaves no fd open', () => {
    const before = openTuns();
    refusal('lo', 'create');
    refusal('lo', 'attach');
    refusal('lo', 'attach', 2);
    expect(openTuns()).toBe(before);
  });
});

describe('the offloads of a TAP', () => {
  const [CSUM, TSO, USO] = [0x01, 0x0e, 0x60];
  const ALL = CSUM | TSO | USO;

  /** A device whose kernel knows some flags, and what it was asked for. */
  function device(known: number) {
    const asked: number[] = [];
    const takes = (flags: number) => {
      asked.push(flags);
      return (flags & ~known) === 0;
    };
    const inForce = () => asked.findLast((flags) => (flags & ~known) === 0);
    return { asked, takes, inForce };
  }

  it.each<[known: number, wanted: TapOffloadWanted, inForce: number, offload: { gso: boolean; mergesUdp: boolean }]>([
    [ALL, { gso: true, gro: true }, ALL, { gso: true, mergesUdp: true }],
    [ALL, { gso: true, gro: false }, ALL, { gso: true, mergesUdp: true }],
    // USO is asked for to learn of it, and taken back.
    [ALL, { gso: false, gro: true }, CSUM, { gso: false, mergesUdp: true }],
    [ALL, { gso: false, gro: false }, CSUM, { gso: false, mergesUdp: false }],
    // Before Linux 6.2.
    [CSUM | TSO, { gso: true, gro: true }, CSUM | TSO, { gso: true, mergesUdp: false }],
    [CSUM | TSO, { gso: false, gro: true }, CSUM, { gso: false, mergesUdp: false }],
    [CSUM, { gso: true, gro: true }, CSUM, { gso: false, mergesUdp: false }],
  ])('of a kernel that knows %i, where %j is wanted, are %i: %j', (known, wanted, inForce, offload) => {
    const tap = device(known);
    expect(negotiateOffload(tap.takes, wanted)).toEqual(offload);
    expect(tap.inForce()).toBe(inForce);
    expect(tap.asked.at(-1)).toBe(inForce);
  });

  it('are not even asked for where none is wanted', () => {
    const tap = device(ALL);
    negotiateOffload(tap.takes, { gso: false, gro: false });
    expect(tap.asked).toEqual([CSUM]);
  });
});

it.each([
  [false, 'ip tuntap add dev vxlan100 mode tap'],
  [true, 'ip tuntap add dev vxlan100 mode tap multi_queue'],
])('the command that makes a TAP, multi-queue %s: %s', (isMultiQueue, command) => {
  expect(tapCommand('vxlan100', isMultiQueue)).toBe(command);
});

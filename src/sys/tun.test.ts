import { accessSync, constants, readdirSync, readlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VtepError } from '../lib/errors.ts';
import { openTap } from './tun.ts';

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

function refusal(name: string, mode: 'create' | 'attach'): VtepError {
  try {
    openTap(name, mode);
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
    expect(error.message).toBe('TAP "lo": the name is in use: stop what holds it, or name another TAP with tap=');
  });

  it('refuses to attach to it, saying how to make a TAP', () => {
    const error = refusal('lo', 'attach');
    expect(error.code).toBe('ERR_VTEP_TAP');
    expect(error.message).toBe(
      'TAP "lo": a device of that name is there that is no single-queue TAP: ' +
        'delete it, make it anew with `ip tuntap add dev lo mode tap`, or name another TAP with tap=',
    );
  });

  it('leaves no fd open', () => {
    const before = openTuns();
    refusal('lo', 'create');
    refusal('lo', 'attach');
    expect(openTuns()).toBe(before);
  });
});

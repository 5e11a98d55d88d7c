import { describe, expect, it } from 'vitest';
import { RX_REASONS, TX_REASONS } from '../../forward/drop-reason.ts';
import type { RecentDrops } from '../../vtep/drop-history.ts';
import { checkDrops } from './drops-check.ts';

const VNI = {
  ...{ vni: 100, tap: 'vxlan100', vlan: undefined, l2Control: 'drop' as const },
  ...{ tapNow: { name: 'vxlan100', up: false }, elsewhere: undefined, underlayTrouble: undefined },
};
/** As without flags. */
const STANDARD = { allowedVteps: [], reservedBits: 'ignore' } as const;
const check = (
  direction: 'rx' | 'tx',
  reason: string,
  vnis: RecentDrops['drops'][number]['vnis'] = [VNI],
  settings: Parameters<typeof checkDrops>[2] = STANDARD,
) => checkDrops({ seconds: 40, drops: [{ direction, reason, count: 3, vnis }] }, 'vtepctl --socket /s', settings);

/** Whether the doctor tells of it, and what it says to do; null: it cannot say. */
const TOLD: readonly [direction: 'rx' | 'tx', reason: string, remedy: string | null][] = [
  ['rx', 'short', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'vtep-not-allowed', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'no-i-flag', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'reserved-bits', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'unknown-vni', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'wrong-group', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'short-inner', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'bad-source-mac', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'own-mac', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'link-local', 'l2-control=pass'],
  ['rx', 'inner-vlan', 'inner-vlan=pass'],
  ['rx', 'oversize', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'static-conflict', 'vtepctl --socket /s fdb show --static --vni 100'],
  ['rx', 'storm', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['rx', 'tap-down', 'ip link set vxlan100 up'],
  ['rx', 'socket-overrun', '--workers 2'],
  ['tx', 'bad-source-mac', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['tx', 'static-conflict', 'vtepctl --socket /s fdb show --static --vni 100'],
  ['tx', 'inner-vlan', 'inner-vlan=pass'],
  ['tx', 'unknown-vlan', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['tx', 'link-local', 'l2-control=pass'],
  ['tx', 'storm', 'vtepctl --socket /s capture --drops --vni 100 -c 10'],
  ['tx', 'no-remote', 'vtepctl --socket /s remote add IP --vni 100'],
  ['tx', 'send-full', null],
  ['tx', 'send-error', null],
  ['tx', 'tap-overrun', '--workers 2'],
];

/** Part of the day: nobody loses all of his frames by them, or somebody asked for it. */
const QUIET = ['rx own-packet', 'rx ecn', 'tx short', 'tx suppressed', 'tx local', 'tx flood-off', 'tx oversize'];

describe('drops', () => {
  it.each(TOLD)('%s %s', (direction, reason, remedy) => {
    const [finding, ...others] = check(direction, reason);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ status: 'warning', object: `${direction} ${reason}`, remedy });
    expect(finding?.message).toMatch(/^3 in the last 40 s \(VNI 100\): \S/);
  });

  it.each(QUIET)('%s is part of the day', (name) => {
    const [direction, reason] = name.split(' ') as ['rx' | 'tx', string];
    expect(check(direction, reason)).toMatchObject([{ status: 'ok' }]);
  });

  it('every reason is one or the other', () => {
    const all = [...RX_REASONS.map((reason) => `rx ${reason}`), ...TX_REASONS.map((reason) => `tx ${reason}`)];
    const told = TOLD.map(([direction, reason]) => `${direction} ${reason}`);
    expect([...told, ...QUIET].filter((name) => !name.endsWith('overrun')).toSorted()).toEqual(all.toSorted());
  });

  it('a remedy fits the VNI, and names none where there are several or none', () => {
    expect(check('tx', 'inner-vlan', [{ ...VNI, vlan: 0 }])).toMatchObject([{ remedy: 'inner-vlan=strip' }]);
    expect(check('rx', 'unknown-vni', [])).toMatchObject([{ remedy: 'vtepctl --socket /s capture --drops -c 10' }]);
    const [several] = check('rx', 'storm', [VNI, { ...VNI, vni: 200 }]);
    expect(several).toMatchObject({ remedy: 'vtepctl --socket /s capture --drops -c 10' });
    expect(several?.message).toContain('(VNI 100, 200)');
  });

  it('names no flag as the cause that was not given', () => {
    const told = (reason: string, settings?: Partial<typeof STANDARD> | object) =>
      check('rx', reason, [], { ...STANDARD, ...settings })[0];
    expect(told('vtep-not-allowed')?.message).not.toContain('--allow-vtep');
    const allowedVteps = [{ address: '198.18.0.0', bits: 24 }];
    expect(told('vtep-not-allowed', { allowedVteps })?.message).toContain('--allow-vtep');
    expect(told('reserved-bits')?.message).toContain('VXLAN-GPE whose payload is not Ethernet');
    expect(told('reserved-bits', { reservedBits: 'drop' })?.remedy).toBe('--reserved-bits ignore');
  });

  it('names no key that is set already', () => {
    const passing = { ...VNI, l2Control: 'pass' as const };
    for (const direction of ['rx', 'tx'] as const) {
      expect(check(direction, 'link-local', [passing])[0]?.message).toContain('pause frames');
      expect(check(direction, 'link-local', [passing])[0]?.remedy).toContain('capture --drops');
      expect(check(direction, 'link-local', [passing, VNI])[0]?.remedy).toBe('l2-control=pass');
    }
  });

  it('names what a list of l2-control= passes, and no word that would pass more than was asked for', () => {
    const listed = { ...VNI, l2Control: ['stp', 'lldp'] as const };
    const told = (...vnis: RecentDrops['drops'][number]['vnis']) => check('tx', 'link-local', vnis)[0];
    expect(told(listed)?.message).toContain('protocols that l2-control=stp+lldp does not pass');
    expect(told(listed)?.remedy).toContain('capture --drops');
    expect(told(listed, { ...VNI, l2Control: 'pass' })?.remedy).toContain('capture --drops');
    expect(told(listed, VNI)?.remedy).toBe('l2-control=pass');
  });

  it('sets a TAP up where it is, and only while it is down', () => {
    const [renamed, inContainer] = [{ name: 'foo', up: false }, { namespace: 'c1' }];
    const remedyFor = (vni: object) => check('rx', 'tap-down', [{ ...VNI, ...vni }])[0]?.remedy;
    expect(remedyFor({ tapNow: renamed })).toBe('ip link set foo up');
    expect(remedyFor({ elsewhere: inContainer })).toBe('ip -n c1 link set vxlan100 up');
    expect(remedyFor({ elsewhere: { namespace: undefined } })).toBeNull();
    for (const tapNow of [{ name: 'vxlan100', up: true }, undefined]) {
      expect(remedyFor({ tapNow })).toBeNull();
      expect(check('rx', 'tap-down', [{ ...VNI, tapNow }])[0]?.message).toContain('was down or gone');
    }
  });

  it('names what keeps the underlay from sending where it is known', () => {
    const waiting = { ...VNI, underlayTrouble: '198.18.0.100 is not on this host' };
    expect(check('tx', 'send-error', [waiting])[0]?.message).toContain('sent: 198.18.0.100 is not on this host');
    expect(check('tx', 'send-error', [waiting, VNI])[0]?.message).toContain('perhaps');
  });

  it('none at all is well', () => {
    expect(checkDrops({ seconds: 5, drops: [] }, 'vtepctl', STANDARD)).toMatchObject([{ status: 'ok' }]);
  });
});

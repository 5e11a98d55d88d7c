/** `vlan=N` and `--trunk`: what is taken, and what they cannot stand beside. */
import { describe, expect, it } from 'vitest';
import type { Config } from './config.ts';
import { parseConfig } from './parse.ts';

const parse = (vni: readonly string[], scalars: object = { trunk: 'trunk0' }): Config =>
  parseConfig({ vni, local: [], check: false, scalars });

const vlansOf = (...vni: string[]) => parse(vni).vnis.map(({ tap, vlan }) => [tap, vlan]);

describe('VLANs of the trunk', () => {
  it('have the trunk as their TAP, those beside them their own', () => {
    expect(parse(['1010=239.1.1.1,vlan=10']).trunk).toBe('trunk0');
    expect(vlansOf('1010=239.1.1.1,vlan=10', '1020,vlan=0,name=x', '100', '200,tap=t')).toEqual([
      ['trunk0', 10],
      ['trunk0', 0],
      ['vxlan100', undefined],
      ['t', undefined],
    ]);
  });

  it.each([0, 1, 4094])('are numbered up to %i', (vlan) => {
    expect(vlansOf(`5,vlan=${vlan}`)).toEqual([['trunk0', vlan]]);
  });

  it('may pass inner tags, unless they are untagged themselves', () => {
    const [vni] = parse(['5,vlan=1,inner-vlan=pass', '6,vlan=0,inner-vlan=strip']).vnis;
    expect(vni).toMatchObject({ innerVlan: 'pass', vlan: 1 });
  });

  it('need not be: a trunk may wait for its first', () => {
    expect(vlansOf('100')).toEqual([['vxlan100', undefined]]);
    expect(parse(['100'], {}).trunk).toBeUndefined();
  });
});

describe('refusals', () => {
  it.each<[vni: string[], message: string]>([
    [['5,vlan=4095'], '--vni 5,vlan=4095: vlan=4095 is not a whole number from 0 to 4094'],
    [['5,vlan=-1'], '--vni 5,vlan=-1: vlan=-1 is not a whole number from 0 to 4094'],
    [['5,vlan=010'], '--vni 5,vlan=010: vlan=010 is not a whole number from 0 to 4094: leave out the leading zeros'],
    [['5,vlan='], '--vni 5,vlan=: vlan= has no value: give one, or leave out vlan='],
    [['5,vlan'], '--vni 5,vlan: vlan has no value: write vlan=N'],
    [['5,vlan=1,vlan=1'], '--vni 5,vlan=1,vlan=1: vlan= is given twice: give it once'],
    [
      ['5,vlan=1,tap=x'],
      '--vni 5,vlan=1,tap=x: tap= cannot be combined with vlan=: the TAP of a VLAN is the trunk: leave out tap=',
    ],
    [
      ['5,bridge=br0,vlan=1'],
      '--vni 5,bridge=br0,vlan=1: bridge= cannot be combined with vlan=: only the trunk can be in a bridge: ' +
        'leave out bridge=, and put the trunk into a VLAN-aware bridge',
    ],
    [
      ['5,vlan=0,mac=02:00:00:00:00:01'],
      '--vni 5,vlan=0,mac=02:00:00:00:00:01: mac= cannot be combined with vlan=: ' +
        'the TAP of a VLAN is the trunk, which has a MAC of its own: leave out mac=',
    ],
    [
      ['5,vlan=1,mtu=1400'],
      '--vni 5,vlan=1,mtu=1400: mtu= cannot be combined with vlan=: ' +
        'the trunk has one MTU for all of its VLANs, which follows the underlay: leave out mtu=',
    ],
    [
      ['5,inner-vlan=pass,vlan=0'],
      '--vni 5,inner-vlan=pass,vlan=0: inner-vlan=pass cannot be combined with vlan=0: ' +
        'inner tags would be VLANs of the trunk: give inner-vlan=strip, or another vlan=',
    ],
    [
      ['5,vlan=10', '6', '7=239.1.1.1,vlan=10'],
      '--vni 7=239.1.1.1,vlan=10: VLAN 10 is already used by --vni 5,vlan=10: give each VNI its own',
    ],
    [['5,vlan=0', '6,vlan=0'], '--vni 6,vlan=0: VLAN 0 is already used by --vni 5,vlan=0: give each VNI its own'],
    [['5,vlan=1', '6,tap=trunk0'], '--vni 6,tap=trunk0: TAP trunk0 is also the --trunk: give another tap='],
    [['5,vlan=1', '6,bridge=trunk0'], '--vni 6,bridge=trunk0: bridge trunk0 is also the --trunk: name another bridge'],
  ])('%j', (vni, message) => {
    expect(() => parse(vni)).toThrow(expect.objectContaining({ code: 'ERR_VTEP_USAGE', exitCode: 64, message }));
  });

  it.each<[scalars: object, message: string]>([
    [{}, '--vni 5,vlan=10: vlan=10 needs a trunk: give --trunk NAME'],
    [{ trunk: 'eth0', dev: 'eth0' }, '--trunk eth0: it is also the underlay --dev: name another TAP'],
    [{ trunk: 'a/b' }, '--trunk a/b: a/b is not an interface name: it cannot contain /'],
    [
      { trunk: 'abcdefghijklmnop' },
      '--trunk abcdefghijklmnop: abcdefghijklmnop is not an interface name: it has 16 characters, at most 15 fit',
    ],
  ])('%j', (scalars, message) => {
    expect(() => parse(['5,vlan=10'], scalars)).toThrow(expect.objectContaining({ exitCode: 64, message }));
  });
});

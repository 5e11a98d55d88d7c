import { describe, expect, it } from 'vitest';
import { type IpAddress, parseIp } from '../lib/addresses.ts';
import { MAX_SEGMENTS } from '../lib/limits.ts';
import { parseVniEntry } from './vni-entry.ts';
import { checkVniSet, type NamedVni } from './vni-set.ts';

function named(text: string): NamedVni {
  const object = `--vni ${text}`;
  const evpn = { kind: 'unix', path: '/gobgp.sock' } as const;
  return { object, config: parseVniEntry(text, { object, maxMacs: 65_536, evpn }) };
}

const check = (texts: readonly string[], local: readonly string[] = [], dev?: string) =>
  checkVniSet(texts.map(named), { local: local.map((text) => parseIp(text) as IpAddress), dev });

it.each<[texts: string[], local?: string[], dev?: string]>([
  [[]],
  [['100', '200']],
  [['100,rd=65000:1', '200,rd=0.65000:1', '300,rt=65000:1', '400,rt=65000:1']],
  [['100=239.1.1.1', '200=239.1.1.1']],
  [['100,bridge=br0', '200,bridge=br0'], [], 'eth0'],
  [['100=239.1.1.1,remote=10.0.0.1'], ['10.0.0.1'], 'eth0'],
  [['100,name=a', '200,name=a']],
  [
    ['1=239.1.1.1', '2=ff05::1'],
    ['10.0.0.1', 'fd00::1'],
  ],
  [['1=ff05::1,remote=10.0.0.2,static=02:00:00:00:00:01@fd00::2']],
])('takes %j with --local %j and --dev %s', (texts, local, dev) => {
  expect(() => check(texts, local, dev)).not.toThrow();
});

describe('refusals', () => {
  it.each<[texts: string[], local: string[], dev: string | undefined, message: string]>([
    [
      ['100,rd=65536:1', '200', '300,rd=1.0:1'],
      [],
      undefined,
      '--vni 300,rd=1.0:1: rd=65536:1 is already used by --vni 100,rd=65536:1: give each VNI its own',
    ],
    [
      ['100=239.1.1.1,control=evpn'],
      [],
      undefined,
      '--vni 100=239.1.1.1,control=evpn: control=evpn cannot be combined with a group: give control=both, or leave out the group',
    ],
    [
      ['100,remote=10.0.0.1,control=evpn'],
      [],
      undefined,
      '--vni 100,remote=10.0.0.1,control=evpn: control=evpn cannot be combined with a remote: give control=both, or leave out the remote',
    ],
    [
      ['100=239.1.1.1', '200', '100,tap=x'],
      [],
      undefined,
      '--vni 100,tap=x: VNI 100 is already given by --vni 100=239.1.1.1: give each VNI once',
    ],
    [['1,tap=x', '2,tap=x'], [], undefined, '--vni 2,tap=x: TAP x is already used by --vni 1,tap=x: give another tap='],
    [
      ['1', '2,tap=vxlan1'],
      [],
      undefined,
      '--vni 2,tap=vxlan1: TAP vxlan1 is already used by --vni 1: give another tap=',
    ],
    [['1,tap=eth0'], [], 'eth0', '--vni 1,tap=eth0: TAP eth0 is also the underlay --dev: give another tap='],
    [['1,bridge=br0'], [], 'br0', '--vni 1,bridge=br0: bridge br0 is also the underlay --dev: name another bridge'],
    [
      ['1,bridge=vxlan2', '2'],
      [],
      undefined,
      '--vni 1,bridge=vxlan2: bridge vxlan2 is also the TAP of --vni 2: rename one of them',
    ],
    [
      ['100=239.1.1.1'],
      ['fd00::1'],
      undefined,
      '--vni 100=239.1.1.1: the group is IPv4 but --local fd00::1 is IPv6: add an IPv4 --local',
    ],
    [
      ['100=ff05::1'],
      ['10.0.0.1'],
      undefined,
      '--vni 100=ff05::1: the group is IPv6 but --local 10.0.0.1 is IPv4: add an IPv6 --local',
    ],
    [
      ['1,remote=10.0.0.2'],
      ['fd00::1'],
      undefined,
      '--vni 1,remote=10.0.0.2: the remote 10.0.0.2 is IPv4 but --local fd00::1 is IPv6: add an IPv4 --local',
    ],
    [
      ['1,static=02:00:00:00:00:01@10.0.0.2'],
      ['fd00::1'],
      undefined,
      '--vni 1,static=02:00:00:00:00:01@10.0.0.2: the VTEP of static=02:00:00:00:00:01@10.0.0.2 is IPv4 but --local fd00::1 is IPv6: add an IPv4 --local',
    ],
    [
      ['1,static=02:00:00:00:00:01@10.0.0.1'],
      ['10.0.0.1'],
      undefined,
      "--vni 1,static=02:00:00:00:00:01@10.0.0.1: static=02:00:00:00:00:01@10.0.0.1 has the own address --local 10.0.0.1: give the remote VTEP, or 'local'",
    ],
  ])('%j with --local %j and --dev %s', (texts, local, dev, message) => {
    expect(() => check(texts, local, dev)).toThrow(expect.objectContaining({ code: 'ERR_VTEP_USAGE', message }));
  });

  it('bounds the number of segments', () => {
    const texts = Array.from({ length: MAX_SEGMENTS + 1 }, (_, vni) => `${vni}`);
    expect(() => check(texts.slice(1))).not.toThrow();
    expect(() => check(texts)).toThrow(
      '--vni 16384: one daemon carries at most 16384 VNIs: run a second one for the rest',
    );
  });
});

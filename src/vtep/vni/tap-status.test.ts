/** What is said of a VNI's TAP. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../config/parse.ts';
import type { Link, PortState } from '../../sys/netlink/links.ts';
import { tapFault, tapLabel } from './tap-status.ts';
import type { Vni } from './vni.ts';

type WithTap = Pick<Vni, 'config' | 'link' | 'elsewhere' | 'master'>;

const LINK = { index: 5, name: 'vxlan100', mac: 'fe:00:00:00:00:01', mtuBytes: 1_450, up: true, master: 0 } as Link;
const BRIDGE = { index: 9, name: 'br0', kind: 'bridge', up: true } as Link;
const TREE = { isOn: true, isRoot: true, forwardDelaySeconds: 15 };

function withTap(entry: string, seen: Partial<WithTap> = {}): WithTap {
  const [config] = parseConfig({ vni: [entry], local: [], check: false, scalars: {} }).vnis;
  if (!config) throw new Error('no VNI');
  return { config, link: LINK, elsewhere: undefined, master: undefined, ...seen };
}

const port = (portState: PortState): Partial<WithTap> => ({ link: { ...LINK, master: 9, portState }, master: BRIDGE });

describe('a TAP', () => {
  it.each<[string, string, Partial<WithTap>, string | undefined]>([
    ['well', '100', {}, undefined],
    ['gone', '100', { link: undefined }, 'vxlan100 is gone'],
    ['down', '100', { link: { ...LINK, up: false } }, 'vxlan100 is down'],
    ['renamed and down', '100', { link: { ...LINK, name: 'foo', up: false } }, 'foo (vxlan100) is down'],
    ['out of its bridge', '100,bridge=br0', {}, 'vxlan100 is not in br0'],
    ['in another bridge', '100,bridge=br0', { master: { ...BRIDGE, name: 'br-x' } }, 'vxlan100 is in br-x, not in br0'],
    ['in its bridge', '100,bridge=br0', port('forwarding'), undefined],
    ['in a bridge that nobody asked for', '100', port('forwarding'), undefined],
    [
      'in an Open vSwitch',
      '100',
      { master: { ...BRIDGE, kind: 'openvswitch', name: 'ovs-system', up: false } },
      undefined,
    ],
    ['in a bridge that is down', '100', { master: { ...BRIDGE, up: false } }, 'br0 is down'],
    [
      'listening',
      '100,bridge=br0',
      { ...port('listening'), master: { ...BRIDGE, spanningTree: TREE } },
      'vxlan100 is listening in br0 (spanning tree)',
    ],
    ['blocked by hand', '100,bridge=br0', port('blocking'), 'vxlan100 is blocking in br0'],
    ['with another MAC', '100,mac=02:aa:aa:aa:aa:aa', {}, 'vxlan100 has MAC fe:00:00:00:00:01, not 02:aa:aa:aa:aa:aa'],
    [
      'with the MAC of a bond',
      '100,mac=02:aa:aa:aa:aa:aa',
      { master: { ...BRIDGE, name: 'bond0', kind: 'bond' } },
      undefined,
    ],
    ['with another MTU', '100,mtu=1400', {}, 'vxlan100 has MTU 1450, not 1400'],
    [
      'in another namespace',
      '100',
      { link: undefined, elsewhere: { namespace: 'c1', link: { ...LINK, name: 'eth0' } } },
      undefined,
    ],
    [
      'down there',
      '100',
      { link: undefined, elsewhere: { namespace: 'c1', link: { ...LINK, up: false } } },
      'vxlan100 in namespace c1 is down',
    ],
    [
      'down in a namespace without a name',
      '100',
      { link: undefined, elsewhere: { namespace: undefined, link: { ...LINK, up: false } } },
      'vxlan100 in another namespace is down',
    ],
    [
      'there, not in its bridge',
      '100,bridge=br0',
      { link: undefined, elsewhere: { namespace: 'c1', link: LINK } },
      'vxlan100 is in namespace c1, not in br0',
    ],
    [
      'where nobody may look',
      '100',
      { link: undefined, elsewhere: { namespace: undefined, link: undefined } },
      'vxlan100 is in another namespace, which vtepd may not read',
    ],
  ])('%s', (_what, entry, seen, fault) => {
    expect(tapFault(withTap(entry, seen))).toBe(fault);
  });

  it('goes by its present name, and that of the configuration', () => {
    expect(tapLabel(withTap('100'))).toBe('vxlan100');
    expect(tapLabel(withTap('100', { link: { ...LINK, name: 'foo' } }))).toBe('foo (vxlan100)');
    expect(tapLabel(withTap('100', { link: undefined }))).toBe('vxlan100');
  });
});

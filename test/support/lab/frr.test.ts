/**
 * The fabric of the EVPN tests without vtepd: what gobgpd announces comes by a reflector to FRR, which installs it in the kernel, and the other way.
 *
 *     host 1  198.18.0.1  gobgpd                      ─┐
 *     host 2  198.18.0.2  FRR, br0 ─ vxlan100, VM 12   ├─ host 3  198.18.0.3  the reflector: FRR, or gobgpd
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { waitFor, waitUntil } from '../wait.ts';
import { addEvpnDevice, bridgeFdb, Frr } from './frr.ts';
import { Gobgpd } from './gobgpd.ts';
import { describeSystem, type Host, useLab } from './lab.ts';
import { addBridge, addVirtualMachine, type VirtualMachine } from './virtual-machine.ts';

const ASN = 65_000;
const MAC = '02:00:00:00:01:01';

describeSystem('a fabric of FRR and gobgpd', () => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];
  const speaker = (host: Host) => ({ asn: ASN, routerId: host.address });
  const clients = [one, two].map(({ address }) => ({ address, asn: ASN, isReflectorClient: true }));
  const toReflector = [{ address: three.address, asn: ASN }];

  let vm: VirtualMachine;

  beforeAll(() => {
    addBridge(two, 'br0');
    vm = addVirtualMachine(two, { bridge: 'br0', number: 12 });
  });

  describe.each(['FRR', 'gobgpd'])('with %s as the reflector', (kind) => {
    test('carries floods and MACs both ways', async () => {
      const device = addEvpnDevice(two, { vni: 100, bridge: 'br0' });
      lab.scope.defer(() => void two.ip('link', 'del', device));
      if (kind === 'FRR') await Frr.start(three, { ...speaker(three), neighbours: clients });
      else await Gobgpd.start(three, { ...speaker(three), neighbours: clients });
      const [gobgpd, frr] = await Promise.all([
        Gobgpd.start(one, { ...speaker(one), neighbours: toReflector }),
        Frr.start(two, { ...speaker(two), neighbours: toReflector, isVtep: true }),
      ]);

      const announce = (...route: string[]) => gobgpd.cli('global', 'rib', 'add', '-a', 'evpn', ...route);
      const common = ['rd', `${one.address}:100`, 'rt', `${ASN}:100`, 'encap', 'vxlan', 'nexthop', one.address];
      announce('multicast', one.address, 'etag', '0', ...common, 'pmsi', 'ingress-repl', '100', one.address);
      announce('macadv', MAC, '0.0.0.0', 'etag', '0', 'label', '100', ...common);
      await waitFor(
        'the flood list of FRR',
        () => frr.remoteVteps(100),
        (vteps) => vteps.includes(one.address),
      );
      const entry = () => bridgeFdb(two, device).find(({ mac, dst }) => mac === MAC && dst !== undefined);
      await waitFor('the MAC in the kernel', entry, (row) => row?.flags.includes('extern_learn') === true);
      expect(entry()?.dst).toBe(one.address);
      expect(frr.macs(100)[MAC]).toMatchObject({ type: 'remote', remoteVtep: one.address });

      // The station speaks, so that its bridge learns it.
      vm.namespace.ping('192.0.2.99', { count: 1 });
      const seen = () => gobgpd.cli('global', 'rib', '-a', 'evpn');
      await waitUntil('the routes of FRR', () => seen().includes(vm.mac) && seen().includes('multicast'));
      expect(frr.macs(100)[vm.mac]).toMatchObject({ type: 'local' });
    });
  });
});

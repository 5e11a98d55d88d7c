import type { Link } from '../../sys/netlink/links.ts';

/** Programs that make vxlan devices with known names. Setting such a device down ends their tunnels, and they may set it up again. */

interface Owner {
  readonly name: RegExp;
  readonly program: string;
  /** Where its port is chosen. */
  readonly advice: string;
  /** The command that shows what the device is for; undefined: that depends on how the program was installed. */
  readonly look?: string;
}

const OWNERS: readonly Owner[] = [
  {
    name: /^vxlan_sys_\d+$/,
    program: 'Open vSwitch',
    advice: 'give its ports of type vxlan another options:dst_port, or delete them (ovs-vsctl del-port)',
    look: 'ovs-vsctl --columns=name,options find interface type=vxlan',
  },
  { name: /^flannel(-v6)?\.\d+$/, program: 'flannel', advice: 'give flannel another Port in its net-conf.json' },
  { name: /^cilium_vxlan$/, program: 'Cilium', advice: 'give Cilium another tunnel-port' },
  {
    name: /^vxlan(-v6)?\.calico$/,
    program: 'Calico',
    advice: 'give Calico another vxlanPort (FelixConfiguration)',
  },
];

function ownerOf({ kind, name }: Pick<Link, 'kind' | 'name'>): Owner | undefined {
  return kind === 'vxlan' ? OWNERS.find((owner) => owner.name.test(name)) : undefined;
}

/** Text after the name of a device, empty unless the name is known. */
export function likelyOwner(device: Pick<Link, 'kind' | 'name'>): string {
  const owner = ownerOf(device);
  return owner ? ` (by its name most likely of ${owner.program})` : '';
}

/** What to do to free its port. */
export function deviceAdvice(device: Pick<Link, 'kind' | 'name'>): string {
  const owner = ownerOf(device);
  return owner?.advice ?? `take it down (\`ip link set ${device.name} down\`) if nothing needs it`;
}

/** The command for it; null: there is none that fits every installation. */
export function deviceRemedy(device: Pick<Link, 'kind' | 'name'>): string | null {
  const owner = ownerOf(device);
  return owner ? (owner.look ?? null) : `ip link set ${device.name} down`;
}

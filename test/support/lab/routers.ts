/**
 * Two routers between the subnets of hosts 1 and 2, with a narrow link between them: what is too large for it comes back as ICMP. In a lab with
 * IPv6 all have fd00:18::/64, fd00:64::/64 and fd00:19::/64 beside.
 *
 *     host 1  198.18.0.1 ─ wire ─ 198.18.0.254  router A          router B  198.18.1.254 ── 198.18.1.2  host 2
 *                                               198.18.100.1 ───── 198.18.100.2
 *                  MTU 1500                            MTU narrow                    MTU 1500
 */
import type { Lab } from './lab.ts';

export const FAR_ADDRESS = '198.18.1.2';
export const FAR_ADDRESS6 = 'fd00:19::2';

/** Takes host 2 off the common wire and puts it behind the routers, as FAR_ADDRESS. */
export function putBehindRouters(lab: Lab, { narrowMtu }: { narrowMtu: number }): void {
  const [one, two] = [lab.host(1), lab.host(2)];
  const [a, b] = [lab.namespace('router-a'), lab.namespace('router-b')];
  two.unplug();
  lab.wire.ip('link', 'add', 'ra', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', a.namespace);
  lab.wire.ip('link', 'set', 'ra', 'master', 'under', 'up');
  const narrow = ['mtu', `${narrowMtu}`];
  a.ip('link', 'add', 'mid', ...narrow, 'type', 'veth', 'peer', 'name', 'mid', ...narrow, 'netns', b.namespace);
  b.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', two.namespace);
  const links = [
    [a, 'eth0', '198.18.0.254/24', 'fd00:18::fe/64'],
    [a, 'mid', '198.18.100.1/30', 'fd00:64::1/64'],
    [b, 'mid', '198.18.100.2/30', 'fd00:64::2/64'],
    [b, 'eth0', '198.18.1.254/24', 'fd00:19::fe/64'],
    [two, 'eth0', `${FAR_ADDRESS}/24`, `${FAR_ADDRESS6}/64`],
  ] as const;
  for (const [namespace, name, address, address6] of links) {
    namespace.ip('addr', 'add', address, 'dev', name);
    namespace.ip('link', 'set', name, 'up');
    if (lab.ipv6) namespace.addIpv6(name, address6);
  }
  for (const router of [a, b]) router.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  a.ip('route', 'add', '198.18.1.0/24', 'via', '198.18.100.2');
  b.ip('route', 'add', '198.18.0.0/24', 'via', '198.18.100.1');
  // There may have been routers before.
  one.ip('neigh', 'flush', 'dev', 'eth0');
  one.ip('route', 'add', '198.18.1.0/24', 'via', '198.18.0.254');
  two.ip('route', 'add', '198.18.0.0/24', 'via', '198.18.1.254');
  if (!lab.ipv6) return;
  for (const router of [a, b]) router.sysctl('net/ipv6/conf/all/forwarding', 1);
  a.ip('route', 'add', 'fd00:19::/64', 'via', 'fd00:64::2');
  b.ip('route', 'add', 'fd00:18::/64', 'via', 'fd00:64::1');
  one.ip('route', 'add', 'fd00:19::/64', 'via', 'fd00:18::fe');
  two.ip('route', 'add', 'fd00:18::/64', 'via', 'fd00:19::fe');
}

/** As it was before `putBehindRouters`. */
export function removeRouters(lab: Lab): void {
  const [one, two] = [lab.host(1), lab.host(2)];
  two.ip('link', 'del', 'eth0');
  one.ip('route', 'del', '198.18.1.0/24');
  if (lab.ipv6) one.ip('route', 'del', 'fd00:19::/64');
  lab.wire.ip('link', 'del', 'ra');
  two.plug();
}

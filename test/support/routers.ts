/**
 * Two routers between the subnets of hosts 1 and 2, with a narrow link between them: what is too large for it comes back as ICMP.
 *
 *     host 1  198.18.0.1 ─ wire ─ 198.18.0.254  router A          router B  198.18.1.254 ── 198.18.1.2  host 2
 *                                               198.18.100.1 ───── 198.18.100.2
 *                  MTU 1500                            MTU narrow                    MTU 1500
 */
import type { Lab } from './lab.ts';

export const FAR_ADDRESS = '198.18.1.2';

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
    [a, 'eth0', '198.18.0.254/24'],
    [a, 'mid', '198.18.100.1/30'],
    [b, 'mid', '198.18.100.2/30'],
    [b, 'eth0', '198.18.1.254/24'],
    [two, 'eth0', `${FAR_ADDRESS}/24`],
  ] as const;
  for (const [namespace, name, address] of links) {
    namespace.ip('addr', 'add', address, 'dev', name);
    namespace.ip('link', 'set', name, 'up');
  }
  for (const router of [a, b]) router.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  a.ip('route', 'add', '198.18.1.0/24', 'via', '198.18.100.2');
  b.ip('route', 'add', '198.18.0.0/24', 'via', '198.18.100.1');
  // There may have been routers before.
  one.ip('neigh', 'flush', 'dev', 'eth0');
  one.ip('route', 'add', '198.18.1.0/24', 'via', '198.18.0.254');
  two.ip('route', 'add', '198.18.0.0/24', 'via', '198.18.1.254');
}

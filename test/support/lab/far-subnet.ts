/**
 * A second subnet behind a router, where hosts stand as on the first. What the router does with multicast is up to `MulticastRouting`.
 *
 *     hosts of the lab ── wire ── near  198.18.0.254   router   198.18.1.254  far ── far wire ── hosts of the far subnet
 *     198.18.0.N                        fd00:18::fe             fd00:19::fe                      198.18.1.N, fd00:19::N
 */
import { forceMtuTrue, Host, type Lab, Namespace, type Subnet, UNDERLAY_BRIDGE } from './lab.ts';

export class FarSubnet {
  readonly hosts: readonly Host[];
  readonly wire: Namespace;
  readonly #lab: Lab;
  readonly #subnet: Subnet;
  #router: Namespace | undefined;

  /** @param numbers of its hosts, none of which the lab has */
  constructor(lab: Lab, numbers: readonly number[]) {
    this.#lab = lab;
    this.wire = new Namespace(lab, `${lab.prefix}far-wire`);
    this.#subnet = { wire: this.wire, network: '198.18.1', network6: 'fd00:19' };
    this.hosts = numbers.map((number) => new Host(lab, number, this.#subnet));
  }

  get router(): Namespace {
    if (!this.#router) throw new Error('the far subnet is not built');
    return this.#router;
  }

  /** Gone at the end of the current scope. */
  build(): void {
    const lab = this.#lab;
    lab.lay('far-wire', this.hosts);
    const router = lab.namespace('router');
    this.#router = router;
    router.sysctl('net/ipv4/ip_forward', 1);
    if (lab.ipv6) router.sysctl('net/ipv6/conf/all/forwarding', 1);
    connect(router, { name: 'near', wire: lab.wire, network: '198.18.0', network6: 'fd00:18' });
    connect(router, { name: 'far', ...this.#subnet });
    addRoutes(lab.hosts, { to: '198.18.1', to6: 'fd00:19', via: '198.18.0', via6: 'fd00:18' });
    addRoutes(this.hosts, { to: '198.18.0', to6: 'fd00:18', via: '198.18.1', via6: 'fd00:19' });
  }
}

function connect(router: Namespace, { name, wire, network, network6 }: Subnet & { name: string }): void {
  router.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'router', 'netns', wire.namespace);
  if (!router.lab.offloading) {
    forceMtuTrue(wire.namespace, 'router', { receiveMerge: 0 });
    forceMtuTrue(router.namespace, name, { receiveMerge: 0 });
  }
  wire.ip('link', 'set', 'router', 'master', UNDERLAY_BRIDGE, 'up');
  router.ip('addr', 'add', `${network}.254/24`, 'dev', name);
  router.ip('link', 'set', name, 'up');
  if (router.lab.ipv6) router.addIpv6(name, `${network6}::fe/64`);
}

interface RouteOptions {
  readonly to: string;
  readonly to6: string;
  readonly via: string;
  readonly via6: string;
}

function addRoutes(hosts: readonly Host[], { to, to6, via, via6 }: RouteOptions): void {
  for (const host of hosts) {
    host.ip('route', 'add', `${to}.0/24`, 'via', `${via}.254`);
    if (host.lab.ipv6) host.ip('route', 'add', `${to6}::/64`, 'via', `${via6}::fe`);
  }
}

/** Makes a wire a switch that snoops IGMP and MLD, and the querier there: a group goes to no port but those that joined it. */
export function snoop(wire: Namespace): void {
  if (wire.lab.ipv6) wire.addIpv6(UNDERLAY_BRIDGE, 'fe80::1/64');
  const set = (...options: string[]) => wire.ip('link', 'set', UNDERLAY_BRIDGE, 'type', 'bridge', ...options);
  // It floods until it has given the first answers their time: here a tenth of a second rather than ten.
  set('mcast_query_response_interval', '10');
  set('mcast_snooping', '1', 'mcast_querier', '1');
}

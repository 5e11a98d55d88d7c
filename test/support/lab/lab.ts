/**
 * The lab of every system test: hosts are network namespaces, joined by a bridge in a namespace of its own.
 *
 *            bridge "under" in namespace <run>-wire, no multicast snooping
 *           ┌────────┬────────┬─ …
 *          h1       h2       h3            ports, named for their host
 *           │        │        │            veth
 *         eth0     eth0     eth0           198.18.0.1/24  .2  .3, route 224.0.0.0/4
 *        host 1   host 2   host 3          namespaces <run>-host1 …
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest';
import { AF_INET, close, ioctl, memoryAddress, SOCK_DGRAM, socket } from '../host/libc.ts';
import {
  command,
  createNamespace,
  deleteNamespace,
  inNamespace,
  ip,
  ipJson,
  onAbnormalExit,
  RUN_PREFIX,
  setSysctl,
} from '../host/namespaces.ts';
import { ip6Text } from '../traffic/ipv6.ts';
import { PacketSocket, type PacketSocketOptions } from '../traffic/packet-socket.ts';
import { UdpSocket, type UdpSocketOptions } from '../traffic/udp-socket.ts';

/** `offloading`: plain veth, super-frames cross whole. `mtu-true`: no packet on the wire is larger than the MTU. */
export type Wire = 'offloading' | 'mtu-true';

export interface LabOptions {
  readonly hosts: number;
  /** Underlay MTU. Default 1500. */
  readonly mtu?: number;
  readonly wire?: Wire;
  /** Gives every host fd00:18::N/64 on the underlay, beside IPv4. Default false. */
  readonly ipv6?: boolean;
}

/** A stretch of the underlay: the namespace that holds its bridge, and what the addresses of its hosts begin with. */
export interface Subnet {
  readonly wire: Namespace;
  readonly network: string;
  readonly network6: string;
}

export const UNDERLAY_BRIDGE = 'under';

/** Namespaces need root. On a laptop without it these tests are skipped; in CI they must run, so there they fail. */
export const describeSystem = process.getuid?.() === 0 || process.env.CI ? describe : describe.skip;

/** Cleanups of one lifetime (a test, or a lab), run last first. One that fails does not keep the others from running. */
class Scope {
  readonly #cleanups: (() => void | Promise<void>)[] = [];
  /** Texts that explain a failure, such as what a daemon wrote. */
  readonly reports: (() => string)[] = [];

  defer(cleanup: () => void | Promise<void>): void {
    this.#cleanups.push(cleanup);
  }

  async dispose(): Promise<void> {
    const errors: unknown[] = [];
    for (let cleanup = this.#cleanups.pop(); cleanup; cleanup = this.#cleanups.pop()) {
      try {
        await cleanup();
      } catch (error) {
        errors.push(error);
      }
    }
    this.reports.length = 0;
    if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors);
  }
}

export interface InterfaceAddress {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly master?: string;
}

/** A namespace with what tests do in it. */
export class Namespace {
  readonly lab: Lab;
  readonly namespace: string;

  constructor(lab: Lab, namespace: string) {
    this.lab = lab;
    this.namespace = namespace;
  }

  /** `ip -n NAMESPACE …` */
  ip(...args: string[]): string {
    return ip('-n', this.namespace, ...args);
  }

  links(): InterfaceAddress[] {
    return ipJson<InterfaceAddress[]>('-n', this.namespace, 'link', 'show');
  }

  link(name: string): InterfaceAddress | undefined {
    return this.links().find((link) => link.ifname === name);
  }

  /** IPv4 addresses with prefix length on an interface. */
  addresses(interfaceName: string): string[] {
    type Shown = { addr_info: { local: string; prefixlen: number }[] };
    const [shown] = ipJson<Shown[]>('-n', this.namespace, '-4', 'addr', 'show', 'dev', interfaceName);
    return (shown?.addr_info ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  }

  /** Groups joined in this namespace, `interface group`, without the all-hosts group every interface has. */
  joinedGroups(): string[] {
    return readJoinedGroups(this.read('/proc/thread-self/net/igmp'));
  }

  /** IPv6 groups joined on an interface, eight words each, without those that every interface has. */
  joinedGroups6(interfaceName: string): string[] {
    const rows = this.read('/proc/thread-self/net/igmp6').trim().split('\n');
    return rows
      .map((row) => row.trim().split(/\s+/))
      .filter(([, name, group = '']) => name === interfaceName && !/^ff0[12]0{27}[12]$|^ff02.*ff/.test(group))
      .map(([, , group = '']) => ip6Text(Buffer.from(group, 'hex')))
      .sort();
  }

  /** UDP sockets bound over IPv4, `address:port`. */
  udpSockets(): string[] {
    const rows = this.read('/proc/thread-self/net/udp').trim().split('\n').slice(1);
    return rows.map((row) => readSocketName(row.trim().split(/\s+/)[1] ?? ''));
  }

  /** Sets a sysctl, named with slashes, e.g. `net/ipv4/tcp_ecn`. */
  sysctl(name: string, value: string | number): void {
    setSysctl(this.namespace, name, `${value}`);
  }

  /** Gives an interface IPv6, which the labs are without, and an address that is fit for use at once. */
  addIpv6(interfaceName: string, address: string): void {
    this.sysctl(`net/ipv6/conf/${interfaceName}/disable_ipv6`, 0);
    this.ip('addr', 'add', address, 'dev', interfaceName, 'nodad');
  }

  read(path: string): string {
    return inNamespace(this.namespace, () => readFileSync(path, 'utf8'));
  }

  /** Runs a program in the namespace to its end and returns its output; a failure throws. */
  run(program: string, ...args: string[]): string {
    return command('ip', ['netns', 'exec', this.namespace, program, ...args]);
  }

  /** The child's pid is the program's own: `ip netns exec` becomes the program. It dies with the test process. */
  spawn(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.namespace, program, ...args], options);
    const forget = onAbnormalExit(() => child.kill('SIGKILL'));
    child.once('exit', forget);
    return child;
  }

  packetSocket(interfaceName: string, options?: PacketSocketOptions): PacketSocket {
    return this.lab.keep(new PacketSocket(this.namespace, interfaceName, options));
  }

  udpSocket(options: UdpSocketOptions): UdpSocket {
    return this.lab.keep(new UdpSocket(this.namespace, options));
  }

  /** Pings once a tenth of a second; the number of answers. @param discovery `do`: with DF; `dont`: without */
  ping(
    address: string,
    { count = 3, size = 56, discovery = 'do' }: { count?: number; size?: number; discovery?: 'do' | 'dont' } = {},
  ): number {
    const options = ['-n', '-c', `${count}`, '-i', '0.1', '-W', '1', '-s', `${size}`, '-M', discovery, address];
    const script = 'ping "$@" || true';
    const output = this.run('sh', '-c', script, 'ping', ...options);
    return Number(/(\d+) received/.exec(output)?.[1] ?? 0);
  }
}

/** A hypervisor host: a namespace whose `eth0` stands on the underlay. */
export class Host extends Namespace {
  readonly number: number;
  readonly address: string;
  readonly address6: string;
  readonly #wire: Namespace;

  constructor(lab: Lab, number: number, { wire, network, network6 }: Subnet) {
    super(lab, `${lab.prefix}host${number}`);
    this.number = number;
    this.address = `${network}.${number}`;
    this.address6 = `${network6}::${number}`;
    this.#wire = wire;
  }

  /** Everything on the underlay cable of this host: `outgoing` frames go to the host, the others come from it. */
  cable(): PacketSocket {
    return this.#wire.packetSocket(this.portName, { outgoing: true });
  }

  get portName(): string {
    return `h${this.number}`;
  }

  addAddress(address: string): void {
    this.ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
  }

  /** The cable, its address and its route; also to bring the host back after `unplug`. */
  plug(): void {
    const { mtu, offloading } = this.lab;
    const wire = this.#wire;
    const [port, cable] = [this.portName, ['mtu', `${mtu}`]];
    wire.ip('link', 'add', port, ...cable, 'type', 'veth', 'peer', 'name', 'eth0', ...cable, 'netns', this.namespace);
    if (!offloading) {
      forceMtuTrue(wire.namespace, port, { receiveMerge: 0 });
      forceMtuTrue(this.namespace, 'eth0', { receiveMerge: 1 });
    }
    wire.ip('link', 'set', port, 'master', UNDERLAY_BRIDGE, 'up');
    this.ip('link', 'set', 'eth0', 'up');
    this.addAddress(this.address);
    this.ip('route', 'add', '224.0.0.0/4', 'dev', 'eth0');
    if (this.lab.ipv6) this.addIpv6('eth0', `${this.address6}/64`);
  }

  /** Deletes the cable: `eth0` is gone, with its address and memberships. */
  unplug(): void {
    this.ip('link', 'del', 'eth0');
  }
}

let labCount = 0;

export class Lab {
  readonly prefix: string;
  readonly mtu: number;
  readonly offloading: boolean;
  readonly ipv6: boolean;
  readonly hosts: readonly Host[];
  readonly wire: Namespace;
  #folder: string | undefined;
  #scopes: Scope[] = [new Scope()];

  constructor({ hosts, mtu = 1500, wire = 'offloading', ipv6 = false }: LabOptions) {
    labCount += 1;
    this.prefix = `${RUN_PREFIX}${labCount}-`;
    this.mtu = mtu;
    this.offloading = wire === 'offloading';
    this.ipv6 = ipv6;
    this.wire = new Namespace(this, `${this.prefix}wire`);
    const subnet = { wire: this.wire, network: '198.18.0', network6: 'fd00:18' };
    this.hosts = Array.from({ length: hosts }, (_, index) => new Host(this, index + 1, subnet));
  }

  /** Host by its number, counted from 1 as its address is. */
  host(number: number): Host {
    const host = this.hosts[number - 1];
    if (!host) throw new Error(`the lab has no host ${number}`);
    return host;
  }

  build(): void {
    this.lay('wire', this.hosts);
  }

  /** Makes a wire and the hosts on it. @param label of the wire's namespace */
  lay(label: string, hosts: readonly Host[]): void {
    const wire = this.namespace(label);
    wire.ip('link', 'add', UNDERLAY_BRIDGE, 'type', 'bridge', 'mcast_snooping', '0', 'stp_state', '0');
    wire.ip('link', 'set', UNDERLAY_BRIDGE, 'mtu', `${this.mtu}`, 'up');
    for (const host of hosts) {
      this.namespace(`host${host.number}`);
      host.plug();
    }
  }

  /** A further namespace of this lab, gone at the end of the current scope. */
  namespace(label: string): Namespace {
    const name = createNamespace(`${this.prefix.slice(RUN_PREFIX.length)}${label}`);
    this.scope.defer(() => deleteNamespace(name));
    return new Namespace(this, name);
  }

  /** A temporary folder of this lab, for control sockets and files. */
  get folder(): string {
    if (this.#folder) return this.#folder;
    const folder = mkdtempSync(join(tmpdir(), RUN_PREFIX));
    const forget = onAbnormalExit(() => rmSync(folder, { recursive: true, force: true }));
    this.#scopes[0]?.defer(() => {
      rmSync(folder, { recursive: true, force: true });
      this.#folder = undefined;
      forget();
    });
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
    return folder;
  }

  /** What is started or opened now ends with the current test, or with the lab where no test runs. */
  get scope(): Scope {
    const scope = this.#scopes.at(-1);
    if (!scope) throw new Error('the lab is gone');
    return scope;
  }

  keep<T extends { close(): void }>(resource: T): T {
    this.scope.defer(() => resource.close());
    return resource;
  }

  enterScope(): void {
    this.#scopes.push(new Scope());
  }

  /** What every daemon of the lab wrote, for a failed test. */
  report(): string {
    return this.#scopes.flatMap((scope) => scope.reports.map((report) => report())).join('\n');
  }

  async leaveScope(): Promise<void> {
    await this.#scopes.pop()?.dispose();
  }

  async dispose(): Promise<void> {
    for (const scope of this.#scopes.toReversed()) await scope.dispose();
  }
}

/** A lab for all tests of the calling `describe`; the namespaces exist from its `beforeAll` on. */
export function useLab(options: LabOptions): Lab {
  const lab = new Lab(options);
  beforeAll(() => lab.build(), 30_000);
  beforeEach(() => lab.enterScope());
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') process.stderr.write(`\n--- ${task.name}\n${lab.report()}\n`);
    await lab.leaveScope();
  }, 30_000);
  afterAll(() => lab.dispose(), 60_000);
  return lab;
}

/** What the `beforeAll` hooks of the calling `describe` start ends with that `describe`, not with the lab. */
export function useScope(lab: Lab): void {
  beforeAll(() => lab.enterScope());
  afterAll(() => lab.leaveScope(), 60_000);
}

/** Rows of /proc/net/igmp: an interface line, then one indented line per group in host byte order. */
function readJoinedGroups(text: string): string[] {
  const groups: string[] = [];
  let device = '';
  for (const line of text.split('\n').slice(1)) {
    const [first = '', second = ''] = line.trim().split(/\s+/);
    if (/^\d/.test(line)) device = second;
    else if (first !== '' && first !== '010000E0') groups.push(`${device} ${readHexAddress(first)}`);
  }
  return groups.sort();
}

/** `0100007F:12B5` as /proc/net/udp has it. */
function readSocketName(text: string): string {
  const [address = '', port = ''] = text.split(':');
  return `${readHexAddress(address)}:${Number.parseInt(port, 16)}`;
}

function readHexAddress(hex: string): string {
  return [...Buffer.from(hex, 'hex')].toReversed().join('.');
}

/**
 * Switches off every offload that would let a super-frame or an unfinished checksum cross the cable. GRO (`receiveMerge`)
 * is for the hosts only, as a NIC has it; a bridge port with it would put super-frames back on the wire.
 */
export function forceMtuTrue(
  namespace: string,
  interfaceName: string,
  { receiveMerge }: { receiveMerge: 0 | 1 },
): void {
  const [ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO] = [0x17, 0x1f, 0x24, 0x2c];
  inNamespace(namespace, () => {
    for (const request of [ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM]) setFeature(interfaceName, request, 0);
    setFeature(interfaceName, ETHTOOL_SGRO, receiveMerge);
  });
}

/** `ethtool -K INTERFACE rx off tx off tso off gso off gro off` */
export function switchOffloadsOff({ namespace }: Namespace, interfaceName: string): void {
  const ETHTOOL_SRXCSUM = 0x15;
  forceMtuTrue(namespace, interfaceName, { receiveMerge: 0 });
  inNamespace(namespace, () => setFeature(interfaceName, ETHTOOL_SRXCSUM, 0));
}

/** struct ifreq: name 0, pointer 16, here to struct ethtool_value: cmd 0, data 4. */
function setFeature(interfaceName: string, request: number, value: 0 | 1): void {
  const SIOCETHTOOL = 0x8946;
  const data = Buffer.alloc(64);
  data.writeUInt32LE(request, 0);
  data.writeUInt32LE(value, 4);
  const argument = Buffer.alloc(40);
  argument.write(interfaceName, 'latin1');
  argument.writeBigUInt64LE(memoryAddress(data), 16);
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  try {
    ioctl(fd, SIOCETHTOOL, argument);
  } finally {
    close(fd);
  }
}

/**
 * One interface over two kinds of VTEP: the daemon, and the kernel's own vxlan devices. A test written against it can be
 * run with VTEPD_TEST_KIND=kernel, which shows whether the test itself tells the truth.
 */

import { command } from '../host/namespaces.ts';
import type { Host } from '../lab/lab.ts';
import { VXLAN_PORT } from '../traffic/frames.ts';
import { type Stopped, startVtepd, type VtepdProcess } from './vtepd-process.ts';

export type VtepKind = 'vtepd' | 'kernel';

export const VTEP_KIND: VtepKind = process.env.VTEPD_TEST_KIND === 'kernel' ? 'kernel' : 'vtepd';

export interface SegmentOptions {
  readonly vni: number;
  readonly group?: string;
  readonly remotes?: readonly string[];
  /** MAC to VTEP. */
  readonly statics?: Readonly<Record<string, string>>;
  readonly learning?: boolean;
  readonly maxMacs?: number;
  /** Outer TTL of the kernel's device, unicast and multicast; vtepd has flags for it. */
  readonly ttl?: number;
  /** Existing Linux bridge that the interface becomes a port of. */
  readonly bridge?: string;
  /** Further keys of `--vni` as written, e.g. `inner-vlan=pass`; vtepd only. */
  readonly keys?: readonly string[];
}

export interface VtepOptions {
  readonly segments: readonly SegmentOptions[];
  readonly ageingSeconds?: number;
  /** UDP port. Default 4789. */
  readonly port?: number;
  /** Further flags of vtepd; the kernel kind refuses them. */
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** A row of `vtepctl fdb show --json`. */
export interface FdbEntry {
  readonly vni: number;
  readonly mac: string;
  readonly vtep: string;
  readonly type: 'dynamic' | 'static' | 'evpn';
  readonly age: number | null;
  readonly moves: number;
}

export interface DropCounters {
  readonly rx: Readonly<Record<string, number>>;
  readonly tx: Readonly<Record<string, number>>;
}

interface VtepCommon {
  readonly host: Host;
  /** Name of the interface that carries the VNI's inner frames: a TAP, or a vxlan device. */
  tap(vni: number): string;
  /** What is known of remote MACs; the kernel knows neither ages nor moves and shows null and 0. */
  fdb(): Promise<FdbEntry[]>;
  stop(): Promise<void>;
}

export interface VtepdVtep extends VtepCommon {
  readonly kind: 'vtepd';
  readonly daemon: VtepdProcess;
  drops(): Promise<DropCounters>;
}

export interface KernelVtep extends VtepCommon {
  readonly kind: 'kernel';
}

export type Vtep = VtepdVtep | KernelVtep;

/** Starts a VTEP of the kind this run is about. */
export function startVtep(host: Host, options: VtepOptions): Promise<Vtep> {
  return VTEP_KIND === 'kernel' ? startKernelVtep(host, options) : startVtepdVtep(host, options);
}

export async function startVtepdVtep(host: Host, options: VtepOptions): Promise<VtepdVtep> {
  const { segments, ageingSeconds, port, flags = [], env = {} } = options;
  const args = ['--dev', 'eth0', ...segments.flatMap((segment) => ['--vni', vniFlag(segment)]), ...flags];
  if (ageingSeconds !== undefined) args.push('--ageing', `${ageingSeconds}`);
  if (port !== undefined) args.push('--port', `${port}`);
  const daemon = await startVtepd(host, args, { env });
  return {
    kind: 'vtepd',
    host,
    daemon,
    tap: tapName,
    fdb: () => daemon.get<FdbEntry[]>('/v1/fdb'),
    drops: () => daemon.get<DropCounters>('/v1/drops'),
    stop: async () => {
      const { code, stderr }: Stopped = await daemon.stop();
      if (code !== 0) throw new Error(`vtepd ended with ${code}: ${stderr}`);
    },
  };
}

/** The value of `--vni` for a segment. */
export function vniFlag(segment: SegmentOptions): string {
  const { vni, group, remotes = [], statics = {}, learning, maxMacs, bridge, keys = [] } = segment;
  const all = [
    ...remotes.map((remote) => `remote=${remote}`),
    ...Object.entries(statics).map(([mac, vtep]) => `static=${mac}@${vtep}`),
    ...(learning === undefined ? [] : [`learning=${learning ? 'on' : 'off'}`]),
    ...(maxMacs === undefined ? [] : [`max-macs=${maxMacs}`]),
    ...(bridge === undefined ? [] : [`bridge=${bridge}`]),
    ...keys,
  ];
  return [group === undefined ? `${vni}` : `${vni}=${group}`, ...all].join(',');
}

export async function startKernelVtep(host: Host, options: VtepOptions): Promise<KernelVtep> {
  const { segments, ageingSeconds, port = VXLAN_PORT, flags = [] } = options;
  if (flags.length > 0) throw new Error(`the kernel's vxlan device has no flags ${flags.join(' ')}`);
  for (const segment of segments) addVxlanDevice(host, { ...segment, port, ...(ageingSeconds && { ageingSeconds }) });
  const remove = () => {
    for (const { vni } of segments) if (host.link(tapName(vni))) host.ip('link', 'del', tapName(vni));
  };
  host.lab.scope.defer(remove);
  return {
    kind: 'kernel',
    host,
    tap: tapName,
    fdb: async () => segments.flatMap(({ vni }) => readKernelFdb(host, vni)),
    stop: async () => remove(),
  };
}

function tapName(vni: number): string {
  return `vxlan${vni}`;
}

function addVxlanDevice(host: Host, segment: SegmentOptions & { port: number; ageingSeconds?: number }): void {
  const { vni, group, remotes = [], statics = {}, learning = true, maxMacs, ttl, keys = [] } = segment;
  const { port, ageingSeconds } = segment;
  if (keys.length > 0) throw new Error(`the kernel's vxlan device has no keys ${keys.join(' ')}`);
  const device = tapName(vni);
  const isIpv6 = (group ?? remotes[0] ?? '').includes(':');
  const local = isIpv6 ? host.address6 : host.address;
  const words = ['type', 'vxlan', 'id', `${vni}`, 'dev', 'eth0', 'local', local, 'dstport', `${port}`];
  words.push('srcport', '49152', '65535', 'udpcsum', learning ? 'learning' : 'nolearning');
  if (group !== undefined) words.push('group', group);
  if (maxMacs !== undefined) words.push('maxaddress', `${maxMacs}`);
  if (ttl !== undefined) words.push('ttl', `${ttl}`);
  if (ageingSeconds !== undefined) words.push('ageing', `${ageingSeconds}`);
  host.ip('link', 'add', device, ...words);
  if (segment.bridge !== undefined) host.ip('link', 'set', device, 'master', segment.bridge);
  host.ip('link', 'set', device, 'up');
  for (const remote of remotes) {
    if (remote !== local) runBridge(host, 'append', '00:00:00:00:00:00', device, 'dst', remote, 'self', 'permanent');
  }
  for (const [mac, vtep] of Object.entries(statics)) {
    runBridge(host, 'add', mac, device, 'dst', vtep, 'self', 'permanent');
  }
}

function runBridge(host: Host, verb: string, mac: string, device: string, ...words: string[]): void {
  command('bridge', ['-n', host.namespace, 'fdb', verb, mac, 'dev', device, ...words]);
}

function readKernelFdb(host: Host, vni: number): FdbEntry[] {
  type Row = { mac: string; dst?: string; state?: string };
  const shown = command('bridge', ['-n', host.namespace, '-j', 'fdb', 'show', 'dev', tapName(vni)]).trim();
  const rows = JSON.parse(shown === '' ? '[]' : shown) as Row[];
  return rows
    .filter(({ mac, dst }) => mac !== '00:00:00:00:00:00' && dst !== undefined)
    .map(({ mac, dst = '', state }) => {
      const type = state === 'permanent' ? 'static' : 'dynamic';
      return { vni, mac, vtep: dst, type, age: null, moves: 0 };
    });
}

/**
 * An EVPN fabric with VNI 100 whose underlay forwards no multicast. Each host has a bridge with one virtual machine.
 *
 *     host 1  198.18.0.1  vtepd, gobgpd                ── br0 ── VM 11 ─┐
 *     host 2  198.18.0.2  vtepd, gobgpd                ── br0 ── VM 12  ├─ host 4  198.18.0.4  the route reflector
 *     host 3  198.18.0.3  the kernel's vxlan100, FRR   ── br0 ── VM 13 ─┘
 *
 * With VTEPD_TEST_KIND=kernel, hosts 1 and 2 are like host 3.
 */
import { join } from 'node:path';
import { addEvpnDevice, Frr } from '../lab/frr.ts';
import { GOBGPD_API_PORT, Gobgpd, type GobgpdOptions } from '../lab/gobgpd.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { addBridge, addVirtualMachine, type VirtualMachine } from '../lab/virtual-machine.ts';
import { waitFor } from '../wait.ts';
import { Reflector, type ReflectorKind } from './evpn-reflector.ts';
import { startVtepdVtep, VTEP_KIND, type VtepdVtep } from './vtep-host.ts';

export const FABRIC_ASN = 65_000;
export const FABRIC_VNI = 100;
export const BRIDGE = 'br0';

/** Hosts of a lab that `startFabric` needs. */
export const FABRIC_HOSTS = 4;

/** One VTEP of the fabric. */
export interface FabricHost {
  readonly host: Host;
  readonly machine: VirtualMachine;
  /** VTEPs that floods go to, in order. */
  floodsTo(): Promise<string[]>;
  /** Where it has a MAC: the address of a VTEP, or `local`. */
  placeOf(mac: string): Promise<string | undefined>;
}

export class VtepdFabricHost implements FabricHost {
  readonly host: Host;
  readonly machine: VirtualMachine;
  readonly #flags: readonly string[];
  readonly #speaker: GobgpdOptions;
  gobgpd!: Gobgpd;
  vtep!: VtepdVtep;

  constructor(
    host: Host,
    machine: VirtualMachine,
    { speaker, flags }: { speaker: GobgpdOptions; flags: readonly string[] },
  ) {
    this.host = host;
    this.machine = machine;
    this.#speaker = speaker;
    this.#flags = flags;
  }

  async start(): Promise<this> {
    await this.startGobgpd();
    await this.startVtepd();
    return this;
  }

  /** Also anew, after it was stopped. @param differs from what it was started with */
  async startGobgpd(differs: Partial<GobgpdOptions> = {}): Promise<void> {
    this.gobgpd = await Gobgpd.start(this.host, { ...this.#speaker, ...differs });
  }

  async startVtepd(): Promise<void> {
    const segments = [{ vni: FABRIC_VNI, bridge: BRIDGE, keys: ['control=evpn', 'suppress=on'] }];
    const state = join(this.host.lab.folder, `state-${this.host.number}`);
    // vtepd reaches the API of its host's speaker, since it is in the same namespace.
    const flags = ['--evpn', `127.0.0.1:${GOBGPD_API_PORT}`, '--state-dir', state, ...this.#flags];
    this.vtep = await startVtepdVtep(this.host, { segments, flags });
  }

  async floodsTo(): Promise<string[]> {
    type Row = { vni: number; remote: string; sent: boolean };
    const rows = await this.vtep.daemon.get<Row[]>('/v1/remotes');
    return rows
      .filter(({ vni, sent }) => vni === FABRIC_VNI && sent)
      .map(({ remote }) => remote)
      .sort();
  }

  async placeOf(mac: string): Promise<string | undefined> {
    return (await this.vtep.fdb()).find((entry) => entry.vni === FABRIC_VNI && entry.mac === mac)?.vtep;
  }
}

export class FrrFabricHost implements FabricHost {
  readonly host: Host;
  readonly machine: VirtualMachine;
  readonly frr: Frr;
  readonly device: string;

  constructor(host: Host, machine: VirtualMachine, { frr, device }: { frr: Frr; device: string }) {
    this.host = host;
    this.machine = machine;
    this.frr = frr;
    this.device = device;
  }

  async floodsTo(): Promise<string[]> {
    return this.frr.remoteVteps(FABRIC_VNI);
  }

  async placeOf(mac: string): Promise<string | undefined> {
    const found = this.frr.macs(FABRIC_VNI)[mac];
    return found?.type === 'local' ? 'local' : found?.remoteVtep;
  }
}

export interface FabricOptions {
  readonly reflector: ReflectorKind;
  /** Further flags of vtepd. */
  readonly flags?: readonly string[];
}

export interface Fabric {
  readonly reflector: Reflector;
  /** Hosts 1 to 3. */
  readonly hosts: readonly FabricHost[];
  /** Hosts 1 and 2, if this run is about vtepd. */
  readonly vtepds: readonly VtepdFabricHost[];
  readonly frr: FrrFabricHost;
}

/** Bridges and machines on hosts 1 to 3, and the filter of the underlay. They stay, while fabrics come and go. */
export function prepareFabric(lab: Lab): VirtualMachine[] {
  dropMulticast(lab);
  return lab.hosts.slice(0, 3).map((host) => {
    addBridge(host, BRIDGE);
    return addVirtualMachine(host, { bridge: BRIDGE, number: 10 + host.number });
  });
}

/** Resolves when each host floods to the two others. What it starts ends with the current scope of the lab. */
export async function startFabric(
  lab: Lab,
  machines: readonly VirtualMachine[],
  { reflector: kind, flags = [] }: FabricOptions,
): Promise<Fabric> {
  const addresses = lab.hosts.slice(0, 3).map(({ address }) => address);
  const reflector = await Reflector.start(lab.host(4), kind, addresses);
  const started = await Promise.all(
    machines.map((machine, i) => {
      const host = lab.host(i + 1);
      return i < 2 && VTEP_KIND === 'vtepd'
        ? new VtepdFabricHost(host, machine, { speaker: speakerOf(host, lab.host(4)), flags }).start()
        : startFrrHost(host, machine, lab.host(4));
    }),
  );
  for (const each of started) {
    const others = addresses.filter((address) => address !== each.host.address);
    await waitForFloods(each, others);
  }
  const frr = started[2] as FrrFabricHost;
  const vtepds = started.filter((each): each is VtepdFabricHost => each instanceof VtepdFabricHost);
  return { reflector, hosts: started, vtepds, frr };
}

export async function waitForFloods(host: FabricHost, addresses: readonly string[], timeoutMs = 30_000): Promise<void> {
  const expected = JSON.stringify(addresses);
  const isSame = (floods: string[]) => JSON.stringify(floods) === expected;
  await waitFor(`the flood list of ${host.host.address} is ${expected}`, () => host.floodsTo(), isSame, {
    timeoutMs,
    everyMs: 50,
  });
}

function speakerOf(host: Host, reflector: Host): GobgpdOptions {
  return { asn: FABRIC_ASN, routerId: host.address, neighbours: [{ address: reflector.address, asn: FABRIC_ASN }] };
}

async function startFrrHost(host: Host, machine: VirtualMachine, reflector: Host): Promise<FrrFabricHost> {
  const device = addEvpnDevice(host, { vni: FABRIC_VNI, bridge: BRIDGE });
  host.lab.scope.defer(() => void host.ip('link', 'del', device));
  const neighbours = [{ address: reflector.address, asn: FABRIC_ASN }];
  const frr = await Frr.start(host, { asn: FABRIC_ASN, routerId: host.address, neighbours, isVtep: true });
  return new FrrFabricHost(host, machine, { frr, device });
}

/** The wire forwards broadcasts, which ARP needs, and no other frame to a group. */
function dropMulticast({ wire }: Lab): void {
  const isGroup = 'ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00';
  wire.run('nft', 'add table bridge evpn');
  wire.run('nft', 'add chain bridge evpn dropped { type filter hook forward priority 0; }');
  wire.run('nft', `add rule bridge evpn dropped ${isGroup} ether daddr != ff:ff:ff:ff:ff:ff counter drop`);
}

/** Frames to groups that the wire has dropped. */
export function droppedMulticasts({ wire }: Lab): number {
  return Number(/packets (\d+)/.exec(wire.run('nft', 'list table bridge evpn'))?.[1]);
}

import type { Finding } from '../../api/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import type { PortState, SpanningTree } from '../../sys/netlink/links.ts';
import { ipLinkIn, namespaceLabel } from '../../vtep/vni/tap-status.ts';
import { failed, faultsOr, ok, unknown, warning } from './finding.ts';

/** The shortest forward delay of IEEE 802.1D. */
const LEAST_FORWARD_DELAY_SECONDS = 4;

/** Spanning tree that keeps a TAP from forwarding. */
export interface PortFacts {
  readonly state: PortState;
  readonly spanningTree: SpanningTree | undefined;
}

export interface VniFacts {
  readonly vni: number;
  /** Its name now, or that of the configuration. */
  readonly tap: string;
  readonly isTapGone: boolean;
  /** Why vtepd could not make it again or restore it, at the last try. */
  readonly refusal: string | undefined;
  /** How often vtepd did so recently. */
  readonly timesPutBack: number;
  /** The other namespace that it is in, and its name if it has one. */
  readonly elsewhere: { readonly namespace: string | undefined } | undefined;
  /** vtepd sees the TAP: in another namespace it may not be allowed to. */
  readonly isSeen: boolean;
  readonly isTapUp: boolean;
  /** Bridge of the configuration. */
  readonly bridge: string | undefined;
  readonly isBridgeMissing: boolean;
  /** Bridge that the TAP is a port of. */
  readonly actualBridge: string | undefined;
  readonly isBridgeUp: boolean;
  /** Undefined if it forwards. */
  readonly port: PortFacts | undefined;
  /** Settings that differ from the configuration: as `ip link set` takes them, and the present value. */
  readonly settings: readonly { readonly key: 'address' | 'mtu'; readonly wanted: string; readonly now: string }[];
  /** As `vtepctl vni add` takes it; undefined: its TAP is the trunk, which other VNIs have too. */
  readonly entry: string | undefined;
  /** What is wrong with the routes to its remotes, or with their interface. */
  readonly pathTrouble: string | undefined;
  /** Why its floods have no destination. */
  readonly floodTrouble: string | undefined;
  readonly group: IpAddress | undefined;
  /** Remotes of its flood list that are heard in its group. */
  readonly remotesInGroup: readonly IpAddress[];
}

/** @param vtepctl how to call it, with its `--socket` */
export function checkVnis(vnis: readonly VniFacts[], vtepctl: string): Finding[] {
  const faults = vnis.flatMap(
    (vni) =>
      tapFault(vni, vtepctl) ?? portFault(vni) ?? pathFault(vni) ?? floodFault(vni, vtepctl) ?? settingFaults(vni),
  );
  const away = vnis.filter(({ elsewhere }) => elsewhere !== undefined).length;
  const where = away === 0 ? '' : `, ${away} of them in another namespace`;
  return faultsOr(
    faults,
    ok('vni', `${vnis.length} ${vnis.length === 1 ? 'VNI' : 'VNIs'}`, `every TAP is up and in place${where}`),
  );
}

function tapFault(facts: VniFacts, vtepctl: string): Finding | undefined {
  const { vni, tap, isTapGone, refusal, elsewhere, isSeen, isTapUp, bridge, entry } = facts;
  const object = `VNI ${vni}`;
  if (isTapGone) {
    if (refusal) return failed('vni', object, `its TAP ${tap} was deleted and cannot be made again: ${refusal}`);
    const anew = entry && `${vtepctl} vni del ${vni} && ${vtepctl} vni add ${quoted(entry)}`;
    return failed('vni', object, `its TAP ${tap} was deleted: vtepd makes it again${again(facts)}`, anew ?? null);
  }
  if (!isSeen) return unknown('vni', object, `its TAP ${tap} is in another namespace, which vtepd may not read`);
  const where = elsewhere ? ` in ${namespaceLabel(elsewhere)}` : '';
  if (!isTapUp) return failed('vni', object, `its TAP ${tap}${where} is down`, ipLink(facts, `${tap} up`));
  if (elsewhere && bridge !== undefined) {
    return failed('vni', object, `its TAP ${tap} is${where}, not in ${bridge}: move it back, or leave bridge= out`);
  }
  return undefined;
}

/** The TAP is not taken from its present bridge, which may be intended. */
function portFault(facts: VniFacts): Finding | undefined {
  const { vni, tap, bridge, isBridgeMissing, actualBridge, isBridgeUp, port, refusal, elsewhere } = facts;
  if (elsewhere) return undefined;
  const object = `VNI ${vni}`;
  if (bridge !== undefined && bridge !== actualBridge) {
    if (actualBridge !== undefined) {
      const message = `its TAP ${tap} is in ${actualBridge}, not in ${bridge}: another program put it there, and vtepd leaves it; change bridge= if that is intended`;
      return failed('vni', object, message);
    }
    if (isBridgeMissing) {
      const message = `${bridge} is missing: vtepd adds its TAP ${tap} as soon as it exists`;
      return failed('vni', object, message, `ip link add ${bridge} up type bridge`);
    }
    const why = refusal ? `, and cannot be added: ${refusal}` : again(facts);
    return failed('vni', object, `its TAP ${tap} is not in ${bridge}${why}`, `ip link set ${tap} master ${bridge}`);
  }
  if (actualBridge === undefined) return undefined;
  if (!isBridgeUp) {
    const message = `the bridge ${actualBridge} of its TAP ${tap} is down`;
    return failed('vni', object, message, `ip link set ${actualBridge} up`);
  }
  return port && notForwarding(object, tap, actualBridge, port);
}

function pathFault({ vni, pathTrouble }: VniFacts): Finding | undefined {
  return pathTrouble === undefined ? undefined : failed('vni', `VNI ${vni}`, pathTrouble);
}

function floodFault({ vni, floodTrouble }: VniFacts, vtepctl: string): Finding | undefined {
  if (floodTrouble === undefined) return undefined;
  return warning(
    'vni',
    `VNI ${vni}`,
    `${floodTrouble}: floods have no destination`,
    `${vtepctl} remote add IP --vni ${vni}`,
  );
}

function notForwarding(object: string, tap: string, bridge: string, { state, spanningTree }: PortFacts): Finding {
  const is = `its TAP ${tap} is ${state} in ${bridge}`;
  if (!spanningTree?.isOn)
    return warning('vni', object, `${is}: nothing is forwarded`, `bridge link set dev ${tap} state 3`);
  if (state !== 'listening' && state !== 'learning') {
    return warning('vni', object, `${is} (spanning tree): another path exists, and this one would close a loop`);
  }
  const { isRoot, forwardDelaySeconds } = spanningTree;
  const wait = `${is} (spanning tree): nothing is forwarded until it has ended, ${2 * forwardDelaySeconds} s after the TAP came up`;
  if (!isRoot) return warning('vni', object, `${wait}; the root bridge sets the delay`);
  if (forwardDelaySeconds <= LEAST_FORWARD_DELAY_SECONDS) return warning('vni', object, wait);
  const shorter = `ip link set ${bridge} type bridge forward_delay ${LEAST_FORWARD_DELAY_SECONDS * 100}`;
  return warning(
    'vni',
    object,
    `${wait}; in a small network the delay can be shorter, from the next state on`,
    shorter,
  );
}

function settingFaults(facts: VniFacts): Finding[] {
  const { vni, tap, settings, refusal } = facts;
  return settings.map(({ key, wanted, now }) => {
    const [name, asked] = key === 'mtu' ? ['MTU', 'mtu='] : ['MAC', 'mac='];
    const why = refusal ? `, and it cannot be restored: ${refusal}` : again(facts);
    const message = `its TAP ${tap} has ${name} ${now}, and ${asked} says ${wanted}${why}`;
    return warning('vni', `VNI ${vni}`, message, ipLink(facts, `${tap} ${key} ${wanted}`));
  });
}

function again({ timesPutBack }: VniFacts): string {
  if (timesPutBack < 2) return '';
  return `; vtepd restored it ${timesPutBack} times within a minute: find out what changes it`;
}

function ipLink({ elsewhere }: VniFacts, what: string): string | null {
  const ipLink = ipLinkIn(elsewhere);
  return ipLink && `${ipLink} set ${what}`;
}

/** For a shell. */
function quoted(word: string): string {
  return /^[\w=.,:@+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** @param vtepctl how to call it, with its `--socket` */
export function checkRemotesInGroup(vnis: readonly VniFacts[], vtepctl: string): Finding[] {
  return vnis.flatMap(({ vni, group, remotesInGroup }) =>
    remotesInGroup.map((remote) => {
      const message = `also heard in the group ${group}, so it gets each flood of VNI ${vni} twice`;
      return warning('remote-in-group', remote, message, `${vtepctl} remote del ${remote} --vni ${vni}`);
    }),
  );
}

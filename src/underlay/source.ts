import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import { close } from '../sys/libc.ts';
import { portOf, prepareSender, type SendOptions } from '../sys/socket/udp-socket.ts';
import type { Device } from './group-membership.ts';
import type { Listener, Listeners } from './listeners.ts';
import { openSourcePorts } from './source-ports.ts';

/** What an underlay has while it has a source address: the pool of source ports, and the places where it receives VXLAN. */
export interface Source {
  readonly address: IpAddress;
  /** What its sockets are bound to. */
  readonly devices: SourceDevices;
  readonly listeners: readonly Listener[];
  /** Those of the places that no worker reads yet. */
  readonly newListeners: readonly Listener[];
  /** The send socket of each source port. */
  readonly fds: readonly number[];
  readonly ports: readonly number[];
  /** How many of them, the last ones, leave DF clear for inner packets without DF (`--df inherit`). */
  readonly fragmentable: number;
  /** Those of `fds` that it must close; another belongs to a listener. */
  readonly ownFds: readonly number[];
  /** The settings that it was opened with whose change needs other sockets. */
  readonly pool: PoolPlan;
}

/** Settings that decide number, ports and kinds of the send sockets. */
export interface PoolPlan {
  readonly count: number;
  readonly range: { readonly first: number; readonly last: number };
  /** There are sockets for both values of the DF bit. */
  readonly inheritsDf: boolean;
}

/**
 * The device that the sockets of a source are bound to; undefined: none, outside of every VRF. In a VRF, IPv6 is sent on the interface itself: the
 * kernel has no route to any group for a socket that is bound to the VRF (vrf_link_scope_lookup), and a socket bound to its interface finds all
 * routes of the VRF by that interface, like the vxlan device of the kernel.
 */
export interface SourceDevices {
  readonly heardIn: Device | undefined;
  readonly sentBy: Device | undefined;
}

export interface SourcePlan {
  readonly address: IpAddress;
  readonly devices: SourceDevices;
  /** UDP port that is listened on. */
  readonly port: number;
  /** Whether VXLAN is received only on the address. */
  readonly isHeardAlone: boolean;
  readonly count: number;
  readonly range: { readonly first: number; readonly last: number };
  /** Source ports that flows have now. */
  readonly preferred: readonly number[];
}

export interface SourceNeeds {
  readonly plan: SourcePlan;
  readonly options: SendOptions;
  /** The source of the same address that the new one replaces: its sockets that fit are used again, so that no port needs to be free twice. */
  readonly before?: Source | undefined;
}

/**
 * Opens the sockets of an underlay for an address, and the places where it listens.
 *
 * If the listening port is among the source ports, datagrams to the address arrive at the socket that is bound to both. So this socket is also a
 * place to listen at, shared by the workers like every other, and the first of its sockets is the one that sends.
 *
 * The DF bit belongs to a socket, not to a datagram. For both values there are twice as many sockets, on ports of their own, since an ICMP
 * "fragmentation needed" is for the socket of its port, and a socket without DF ignores it.
 *
 * @throws VtepError; nothing stays open then
 */
export function openSource(listeners: Listeners, { plan, options, before }: SourceNeeds): Source {
  const { address, devices, port, count, range } = plan;
  const { heardIn, sentBy } = devices;
  const family = ipFamily(address);
  const inheritsDf = options.df === 'inherit';
  if (inheritsDf && family === 4) checkRange(plan);
  const taken: { listener: Listener; isNew: boolean }[] = [];
  const opened: number[] = [];
  try {
    if (!plan.isHeardAlone) taken.push(listeners.take({ family, local: undefined, device: heardIn }));
    const sendsFromPort = isIn(range, port);
    const first: number[] = [];
    if (plan.isHeardAlone || sendsFromPort) {
      const alone = listeners.take({ family, local: address, device: sendsFromPort ? sentBy : heardIn });
      taken.push(alone);
      if (sendsFromPort) first.push(senderOf(alone, { address, port, options, before }));
    }
    const present = before ? kindsOf(before) : { plain: [], fragmentable: [] };
    const fill = (held: readonly number[], wanted: number, kind: SendOptions): number[] => {
      const serving = held.filter((fd) => isIn(range, portOf(fd))).slice(0, wanted);
      const pool = { local: address, count: wanted - serving.length, range, preferred: plan.preferred, except: port };
      const others = openSourcePorts(pool, { ...kind, device: sentBy?.name });
      opened.push(...others);
      return [...serving, ...others];
    };
    const plain = fill(present.plain, count - first.length, options);
    const fragmentable =
      inheritsDf && family === 4 ? fill(present.fragmentable, count, { ...options, df: 'unset' }) : [];
    const fds = [...first, ...plain, ...fragmentable];
    return {
      ...{ address, devices, fds, ownFds: [...plain, ...fragmentable], fragmentable: fragmentable.length },
      listeners: taken.map(({ listener }) => listener),
      newListeners: taken.flatMap(({ listener, isNew }) => (isNew ? listener : [])),
      ports: fds.map(portOf),
      pool: { count, range, inheritsDf },
    };
  } catch (error) {
    for (const fd of opened) close(fd);
    for (const { listener } of taken) if (listeners.release(listener)) listeners.close(listener);
    throw error;
  }
}

/** Releases the places of a source. Returns those without another user: workers must release them, then the caller closes them. */
export function releaseListeners(listeners: Listeners, source: Source): Listener[] {
  return source.listeners.filter((listener) => listeners.release(listener));
}

/** Closes the sockets of the source, except those that its successor has taken over. */
export function closePool({ ownFds }: Source, successor?: Source): void {
  for (const fd of ownFds) if (!successor?.ownFds.includes(fd)) close(fd);
}

/** The sockets of its own for each value of the DF bit. */
function kindsOf({ ownFds, fragmentable }: Source): { plain: readonly number[]; fragmentable: readonly number[] } {
  const count = ownFds.length - fragmentable;
  return { plain: ownFds.slice(0, count), fragmentable: ownFds.slice(count) };
}

function isIn({ first, last }: PoolPlan['range'], port: number): boolean {
  return port >= first && port <= last;
}

/** IPv6 needs one pool, so this is known only for an IPv4 address. */
function checkRange({ range, count }: SourcePlan): void {
  const size = range.last - range.first + 1;
  if (size >= 2 * count) return;
  throw new VtepError('ERR_VTEP_USAGE', {
    object: `--source-port-range ${range.first}-${range.last}`,
    cause: `it holds ${size} ${size === 1 ? 'port' : 'ports'}, and --df inherit needs ${2 * count} over IPv4`,
    remedy: 'widen it, or give --df set or --df unset',
  });
}

function senderOf(
  { listener, isNew }: { listener: Listener; isNew: boolean },
  { address, port, options, before }: { address: IpAddress; port: number } & Omit<SourceNeeds, 'plan'>,
): number {
  const [fd] = listener.fds as readonly [number];
  if (before?.fds.includes(fd)) return fd;
  if (!isNew && !before?.listeners.includes(listener)) {
    throw new VtepError('ERR_VTEP_PORT_IN_USE', {
      object: `source port ${port} of ${address}`,
      cause: 'another underlay interface sends from it',
      remedy: 'name one interface with --dev, or leave --port out of --source-port-range',
    });
  }
  prepareSender(fd, ipFamily(address), options);
  return fd;
}

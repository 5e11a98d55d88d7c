import { randomInt } from 'node:crypto';
import type { Config, VniConfig } from '../config/config.ts';
import { Fdb, LEARNED, LOCAL_SOURCE, type SourceAddress } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import { LockTimeout } from '../fdb/lock.ts';
import { NO_REMOTE } from '../fdb/remotes.ts';
import { Counters } from '../forward/counters.ts';
import { type IpAddress, ipBytes, macWords } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import type { Logger } from '../observe/log.ts';
import { NO_GROUP } from '../segment/segment.ts';
import {
  changeLink,
  deleteLinkGroup,
  findLink,
  hostAddresses,
  type Link,
  type LinkEvent,
  linkEvents,
  listLinks,
} from '../sys/links.ts';
import { EVENT_GROUPS, NetlinkSocket, watchNetlink } from '../sys/netlink-socket.ts';
import type { Membership } from '../underlay/group-membership.ts';
import { createClock, monotonicMs } from '../worker/clock.ts';
import { setIpv4Source } from '../worker/loop.ts';
import type { Order, WorkerSetup } from '../worker/messages.ts';
import { defaultMac, releaseTap, setUpTap } from './tap.ts';
import { Underlay } from './underlay.ts';
import { chooseInterface, chooseLocal, refuseSecondUnderlay } from './underlay-choice.ts';
import { mtuLimit, tapMtu, toSegment, type Vni } from './vni.ts';
import { WorkerSupervisor } from './worker-supervisor.ts';

/** How often expired entries are looked for, and how many records at a time: a million in about five seconds. */
const SWEEP_INTERVAL_MS = 250;
const SWEEP_RECORDS = 50_000;

/** How often a group that could not be rejoined is tried again. */
const RETRY_INTERVAL_MS = 1_000;

/** How long the main thread waits for the FDB's lock, which nobody alive holds for a microsecond. */
const LOCK_PATIENCE_MS = 100;

/** The main thread's number in the FDB's lock; workers count up from there. */
const MAIN_OWNER = 1;

/**
 * The VTEP: everything on the host that the daemon holds, put together and kept in step with the host's interfaces. It opens every fd;
 * the worker only borrows them.
 */
export class Vtep {
  readonly config: Config;
  readonly fdb: Fdb;
  readonly counters: Counters;
  readonly now: () => number;
  readonly #log: Logger;
  readonly #netlink = new NetlinkSocket();
  readonly #underlays: Underlay[] = [];
  readonly #vnis: Vni[] = [];
  readonly #worker: WorkerSupervisor;
  readonly #linkGroup: number;
  readonly #endings: (() => void)[] = [];
  #socketNumber = 0;
  #sweptTo = 0;

  private constructor(config: Config, log: Logger, onDeath: (error: Error) => void) {
    this.config = config;
    this.#log = log;
    const epochMs = monotonicMs();
    const fdbMemory = createFdbMemory(randomInt(2 ** 31), config.ageingSeconds);
    const countersMemory = Counters.createMemory();
    this.fdb = new Fdb(fdbMemory, MAIN_OWNER, LOCK_PATIENCE_MS);
    this.counters = new Counters(countersMemory);
    this.now = createClock(epochMs);
    this.#linkGroup = unusedLinkGroup(this.#netlink);
    this.#worker = new WorkerSupervisor(
      {
        fdbMemory,
        countersMemory,
        epochMs,
        port: config.port,
        dropReservedBits: config.reservedBits === 'drop',
        offload: { udpGso: true, udpGro: false },
      },
      {
        firstOwner: MAIN_OWNER + 1,
        fdb: this.fdb,
        log,
        state: () => this.#orders(),
        tapGone: (tap) => this.#onTapGone(tap),
        died: onDeath,
      },
    );
  }

  /**
   * Brings everything up: sockets bound, groups joined, TAPs up, forwarding. Throws VtepError with nothing of its own left behind.
   *
   * @param onDeath the data plane died and cannot be revived
   */
  static async start(config: Config, log: Logger, onDeath: (error: Error) => void): Promise<Vtep> {
    const vtep = new Vtep(config, log, onDeath);
    try {
      for (const [vni, underlay] of vtep.#chooseUnderlays()) vtep.#addVni(vni, underlay);
      vtep.#watchHost();
      if (!(await vtep.#worker.start())) {
        const remedy = 'the log has its error';
        throw new VtepError('ERR_VTEP_INTERNAL', {
          object: 'data plane',
          cause: 'its thread died at the start',
          remedy,
        });
      }
      vtep.#every(SWEEP_INTERVAL_MS, () => vtep.#sweep());
      vtep.#every(RETRY_INTERVAL_MS, () => vtep.#retryMemberships());
      return vtep;
    } catch (error) {
      await vtep.stop();
      throw error;
    }
  }

  /** Leaves the groups and removes the TAPs that vtepd made. */
  async stop(): Promise<void> {
    for (const end of this.#endings.splice(0)) end();
    await this.#worker.stop();
    for (const underlay of this.#underlays.splice(0)) underlay.close();
    const own = this.#vnis.filter(({ tap, link }) => tap.isOwn && link);
    if (own.length > 0) {
      try {
        deleteLinkGroup(this.#netlink, this.#linkGroup);
      } catch (error) {
        // Closing the fds deletes them too, only slower.
        this.#log.warn({ event: 'taps-not-deleted', err: error });
      }
    }
    for (const { tap } of this.#vnis.splice(0)) releaseTap(tap);
    this.#netlink.close();
  }

  get vnis(): readonly Vni[] {
    return this.#vnis;
  }

  get underlays(): readonly Underlay[] {
    return this.#underlays;
  }

  /** The worker's offloads in force. */
  get offload(): WorkerSetup['offload'] {
    return this.#worker.offload;
  }

  /** All links of the host, as the kernel has them now. */
  links(): Link[] {
    return listLinks(this.#netlink);
  }

  isOwnAddress(address: IpAddress): boolean {
    return this.#underlays.some(({ local }) => local === address);
  }

  /** Every VNI with its underlay, all of them open: a VNI that names no destination goes where the others go. */
  #chooseUnderlays(): [VniConfig, Underlay][] {
    const { vnis } = this.config;
    const links = vnis.map((vni) => chooseInterface(this.#netlink, this.config, vni));
    const fallback = links.find((link) => link !== undefined);
    return vnis.map((vni, i) => {
      const link = links[i] ?? fallback;
      if (link) return [vni, this.#underlayOn(link, vni)];
      const remedy = 'name the underlay interface with --dev';
      throw new VtepError('ERR_VTEP_INTERFACE', {
        object: `--vni ${vni.vni}`,
        cause: 'no GROUP or remote to route to',
        remedy,
      });
    });
  }

  #addVni(config: VniConfig, underlay: Underlay): void {
    const index = this.#vnis.length;
    if (config.bridge !== undefined && findLink(this.#netlink, config.bridge)?.index === underlay.link.index) {
      const cause = `${config.bridge} is the underlay itself: its packets would go round in circles`;
      const remedy = 'name another bridge';
      throw new VtepError('ERR_VTEP_INTERFACE', {
        object: `--vni ${config.vni},bridge=${config.bridge}`,
        cause,
        remedy,
      });
    }
    const mtuBytes = tapMtu(config, underlay);
    const floodRemotes = config.remotes
      .filter((address) => !this.isOwnAddress(address))
      .map((address) => this.#retainRemote(address, config));
    for (const { mac, vtep } of config.statics) {
      const isOwnMac = mac === (config.mac ?? defaultMac(underlay.local, config.vni));
      if (isOwnMac) throw ownStatic(config, `${mac}@${vtep}`, 'the MAC is the TAP’s own');
      if (this.isOwnAddress(vtep)) throw ownStatic(config, `${mac}@${vtep}`, 'the address is this host’s own');
      const { high, low } = macWords(mac);
      if (this.fdb.addStatic(index, high, low, sourceOf(vtep), this.now()) === LEARNED.full) throw fdbFull(config);
    }
    const group = config.group === undefined ? NO_GROUP : underlay.membership.join(config.group).number;
    const options = { queues: 1, gso: false, gro: false };
    const plan = { vni: config, local: underlay.local, mtuBytes, linkGroup: this.#linkGroup, options };
    const tap = setUpTap(this.#netlink, plan);
    this.#vnis.push({ config, index, underlay, group, floodRemotes, tap, link: tap.link });
    this.#log.debug({ event: 'vni-added', vni: config.vni, tap: config.tap, mtu: mtuBytes, dev: underlay.name });
  }

  #underlayOn(link: Link, config: VniConfig): Underlay {
    const known = this.#underlays.find(({ name }) => name === link.name);
    if (known) return known;
    const local = chooseLocal(this.#netlink, this.config, link);
    refuseSecondUnderlay(this.#underlays, { link, local, config });
    const underlay = new Underlay(this.#netlink, this.config, {
      number: this.#underlays.length,
      link,
      local,
      nextSocket: () => this.#socketNumber++,
    });
    this.#underlays.push(underlay);
    if (underlay.status !== 'ok')
      this.#log.warn({ event: 'underlay-changed', dev: link.name, status: underlay.status });
    return underlay;
  }

  #retainRemote(address: IpAddress, config: VniConfig): number {
    const remote = this.fdb.retainRemote(sourceOf(address));
    if (remote === NO_REMOTE) throw fdbFull(config);
    return remote;
  }

  /** All that a worker must be told to take over from nothing. */
  #orders(): Order[] {
    const orders: Order[] = [{ kind: 'own-addresses', addresses: this.#underlays.map(({ localWord }) => localWord) }];
    for (const { number, sendFds } of this.#underlays)
      orders.push({ kind: 'add-pool', underlay: number, fds: sendFds });
    for (const vni of this.#vnis) orders.push({ kind: 'segment', update: { kind: 'put', segment: toSegment(vni) } });
    for (const { index, tap, link } of this.#vnis)
      if (link) orders.push({ kind: 'add-tap', tap: index, fd: tap.fds[0], mergesUdp: tap.mergesUdp });
    for (const { unicastSocket, unicastFd, membership } of this.#underlays) {
      orders.push({ kind: 'add-socket', socket: unicastSocket, fd: unicastFd, group: NO_GROUP });
      orders.push(...membership.joined.map(addGroupSocket));
    }
    return orders;
  }

  #watchHost(): void {
    this.#endings.push(
      watchNetlink(EVENT_GROUPS.link | EVENT_GROUPS.ipv4Address, (messages) => {
        // Without messages some were lost: look at everything.
        if (messages.length === 0) this.#lookAtAllLinks();
        for (const event of linkEvents(messages)) this.#onLink(event);
        this.#lookForLocals();
      }),
    );
    // What changed between the first look and the watch.
    this.#lookAtAllLinks();
    this.#lookForLocals();
  }

  #lookAtAllLinks(): void {
    const links = listLinks(this.#netlink);
    const known = [...this.#underlays, ...this.#vnis].flatMap(({ link }) => link ?? []);
    for (const link of known) {
      if (!links.some(({ index }) => index === link.index)) this.#onLink({ link, deleted: true });
    }
    for (const link of links) this.#onLink({ link, deleted: false });
  }

  #onLink(event: LinkEvent): void {
    for (const underlay of this.#underlays) if (underlay.isOn(event.link)) this.#onUnderlayLink(underlay, event);
    const vni = this.#vnis.find(({ tap }) => tap.link.index === event.link.index);
    if (vni) this.#onTapLink(vni, event);
  }

  /** An address may go without its interface changing: then every send fails, and nothing else tells. */
  #lookForLocals(): void {
    const addresses = hostAddresses(this.#netlink);
    for (const underlay of this.#underlays) {
      const hasLocal = addresses.includes(underlay.local);
      if (hasLocal === underlay.hasLocal) continue;
      underlay.hasLocal = hasLocal;
      this.#log.warn({ event: 'underlay-changed', dev: underlay.name, status: underlay.status });
    }
  }

  #onUnderlayLink(underlay: Underlay, { link, deleted }: LinkEvent): void {
    const before = { status: underlay.status, mtuBytes: underlay.mtuBytes };
    if (deleted) {
      this.#closeGroups(underlay, underlay.lose());
      // Another of that name may be there already: its own event was before this one.
      const successor = findLink(this.#netlink, underlay.name);
      if (successor) this.#onUnderlayLink(underlay, { link: successor, deleted: false });
    } else {
      const { joined, errors } = underlay.see(link);
      this.#openGroups(joined);
      for (const err of errors) this.#log.warn({ event: 'group-not-joined', dev: underlay.name, err });
    }
    if (underlay.status !== before.status) {
      this.#log.warn({ event: 'underlay-changed', dev: underlay.name, status: underlay.status });
    }
    if (underlay.mtuBytes !== before.mtuBytes) this.#followMtu(underlay);
  }

  /** TAPs without `mtu=` follow the underlay; all learn the new bound. */
  #followMtu(underlay: Underlay): void {
    for (const vni of this.#vnis) {
      if (vni.underlay !== underlay) continue;
      this.#putSegment(vni);
      if (vni.config.mtuBytes !== undefined || !vni.link) continue;
      const mtuBytes = mtuLimit(vni.config, underlay);
      try {
        changeLink(this.#netlink, vni.link.index, { mtuBytes }, `TAP "${vni.config.tap}"`);
      } catch (err) {
        this.#log.warn({ event: 'mtu-not-followed', tap: vni.config.tap, mtu: mtuBytes, err });
      }
    }
  }

  #onTapLink(vni: Vni, { link, deleted }: LinkEvent): void {
    const before = vni.link;
    if (!before) return;
    vni.link = deleted ? undefined : link;
    if (deleted) {
      this.#log.error({ event: 'tap-gone', tap: vni.config.tap, vni: vni.config.vni });
      void this.#worker.order({ kind: 'remove-tap', tap: vni.index });
    }
    const isSame = link.up === before.up && link.mtuBytes === before.mtuBytes && link.mac === before.mac;
    if (deleted || !isSame) this.#putSegment(vni);
  }

  #onTapGone(tap: number): void {
    const vni = this.#vnis[tap];
    if (vni?.link) this.#onTapLink(vni, { link: vni.link, deleted: true });
  }

  #putSegment(vni: Vni): void {
    void this.#worker.order({ kind: 'segment', update: { kind: 'put', segment: toSegment(vni) } });
  }

  #openGroups(joined: readonly Membership[]): void {
    for (const membership of joined) void this.#worker.order(addGroupSocket(membership));
  }

  /** The worker lets a socket go before it is closed: its number could be another's at once. */
  #closeGroups(underlay: Underlay, fds: readonly number[]): void {
    for (const fd of fds)
      void this.#worker.order({ kind: 'remove-socket', fd }).then(() => underlay.membership.close(fd));
  }

  #retryMemberships(): void {
    for (const underlay of this.#underlays) this.#openGroups(underlay.retry());
  }

  #sweep(): void {
    try {
      this.#sweptTo = this.fdb.sweep(this.#sweptTo, SWEEP_RECORDS, this.now());
    } catch (error) {
      // The owner died with the lock; its end is the next thing the event loop tells, and frees it.
      if (!(error instanceof LockTimeout)) throw error;
      this.#log.warn({ event: 'fdb-locked', err: error });
    }
  }

  #every(intervalMs: number, action: () => void): void {
    const timer = setInterval(action, intervalMs);
    this.#endings.push(() => clearInterval(timer));
  }
}

/** A VTEP's address as the FDB keeps it. */
export function sourceOf(address: IpAddress | 'local'): SourceAddress {
  if (address === 'local') return LOCAL_SOURCE;
  const source = { a: 0, b: 0, c: 0, d: 0 };
  setIpv4Source(source, Buffer.from(ipBytes(address)).readInt32BE(0));
  return source;
}

function addGroupSocket({ number, fd }: Membership): Order {
  return { kind: 'add-socket', socket: number, fd, group: number };
}

/** A link group that no interface of the host is in: random, so that two daemons starting at once differ. */
function unusedLinkGroup(netlink: NetlinkSocket): number {
  const used = new Set(listLinks(netlink).map(({ group }) => group));
  for (;;) {
    const group = randomInt(1, 2 ** 31);
    if (!used.has(group)) return group;
  }
}

function ownStatic(config: VniConfig, entry: string, cause: string): VtepError {
  return new VtepError('ERR_VTEP_CONFLICT', {
    object: `--vni ${config.vni},static=${entry}`,
    cause,
    remedy: 'leave the entry out: what is behind the own TAP is learned',
  });
}

function fdbFull(config: VniConfig): VtepError {
  return new VtepError('ERR_VTEP_LIMIT', {
    object: `--vni ${config.vni}`,
    cause: 'the forwarding table or its table of remote VTEPs is full',
    remedy: 'name fewer remote= and static=',
  });
}

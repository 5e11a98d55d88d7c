import { readAlias, renamedAlias } from '../../host/state-dir.ts';
import { type Elsewhere, placeOfTap } from '../../host/tap/tap-place.ts';
import { VtepError } from '../../lib/errors.ts';
import { MAX_TAPS_PER_LOOK } from '../../lib/limits.ts';
import { changeLink, findLink, type Link, type LinkEvent, type PortEvent } from '../../sys/netlink/links.ts';
import { distinctTaps, hasTap, seenTap, sharersOf, tapNumber, tapOverrun, type Vni } from '../vni/vni.ts';
import { addTap, putSegment } from '../workers/worker-state.ts';
import type { HeldTaps } from './held-on-host.ts';
import { startMtu, TapUpkeep } from './tap-upkeep.ts';

/** There are no events for TAPs in other namespaces. */
const ELSEWHERE_LOOK_MS = 500;

/** The VNIs, by the objects that events name. A VNI may have been deleted meanwhile. */
interface Known {
  /** By the index of the TAP. For a trunk: one of its VNIs. */
  readonly taps: Map<number, Vni>;
  /** By the index of the bridge or other master of the TAP. */
  readonly ports: Map<number, Vni[]>;
  /** By the name of the requested bridge. */
  readonly askers: Map<string, Vni[]>;
}

/** Keeps the VNIs in step with their TAPs. Other programs may change, rename or delete a TAP, or move it to another namespace and back. */
export class TapWatch {
  readonly upkeep: TapUpkeep;
  readonly #held: HeldTaps;
  #timer: NodeJS.Timeout | undefined;
  /** Position in the cycle of looks at TAPs in other namespaces. */
  #turn = 0;
  #index: Known | undefined;
  #isFailing = false;

  constructor(held: HeldTaps) {
    this.#held = held;
    this.upkeep = new TapUpkeep(held);
  }

  start(): void {
    this.#timer = setInterval(() => this.#orLater(() => this.#lookElsewhere()), ELSEWHERE_LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.upkeep.stop();
  }

  /** A worker found its TAP deleted and released it. Other workers may report the same, and the kernel reports it too. */
  tapGone(tap: number): void {
    const vni = this.#held.vnis.find((each) => tapNumber(each) === tap);
    if (!vni || !hasTap(vni)) return;
    this.#orLater(() => {
      this.#locate(vni);
      // The TAP exists: the error of the worker was temporary.
      if (hasTap(vni)) this.#attach(vni);
    });
  }

  /** What the kernel does not answer now is requested again at the next full look. */
  #orLater(look: () => void): void {
    try {
      look();
      this.#isFailing = false;
    } catch (err) {
      if (!(err instanceof VtepError)) throw err;
      if (!this.#isFailing) this.#held.log.warn({ event: 'taps-unseen', err }, 'vtepd tries again until it succeeds');
      this.#isFailing = true;
    }
  }

  onLink({ link, deleted }: LinkEvent): void {
    this.#onMaster(link, deleted);
    const vni = this.#knownTap(link.index);
    if (!vni) {
      if (!deleted && link.isTap) this.#onStranger(link);
    } else if (deleted) {
      this.#locate(vni);
    } else {
      this.#see(vni, link);
    }
  }

  onPort({ index, state }: PortEvent): void {
    const first = this.#knownTap(index);
    if (!first?.link) return;
    const link = { ...first.link, portState: state };
    for (const vni of sharersOf(this.#held.vnis, first)) vni.link = link;
  }

  /** A bridge or other master of TAPs: its state has changed, or it is a bridge that TAPs wait for. */
  #onMaster(link: Link, deleted: boolean): void {
    const { ports, askers } = this.#known();
    for (const vni of ports.get(link.index) ?? []) {
      if (vni.master?.index === link.index) vni.master = deleted ? undefined : link;
    }
    if (!deleted) for (const vni of askers.get(link.name) ?? []) this.upkeep.consider(vni);
  }

  #knownTap(index: number): Vni | undefined {
    const vni = this.#known().taps.get(index);
    return vni?.link?.index === index ? vni : undefined;
  }

  /** A burst can have thousands of events, and there are thousands of VNIs. So the maps are built once per burst. */
  #known(): Known {
    if (this.#index) return this.#index;
    const index: Known = { taps: new Map(), ports: new Map(), askers: new Map() };
    for (const vni of this.#held.vnis) {
      noteTap(index, vni);
      if (vni.config.bridge !== undefined) append(index.askers, vni.config.bridge, vni);
    }
    this.#index = index;
    queueMicrotask(() => {
      this.#index = undefined;
    });
    return index;
  }

  /** The TAP is unknown in this namespace: it came back from another namespace, possibly with another index. */
  #onStranger(link: Link): void {
    for (const vni of distinctTaps(this.#held.vnis)) {
      const { elsewhere, config } = vni;
      if (elsewhere && (link.name === config.tap || link.name === elsewhere.link?.name)) this.#locate(vni);
    }
  }

  #lookElsewhere(): void {
    const away = distinctTaps(this.#held.vnis).filter(({ elsewhere }) => elsewhere !== undefined);
    if (this.#turn >= away.length) this.#turn = 0;
    for (const vni of away.slice(this.#turn, this.#turn + MAX_TAPS_PER_LOOK)) this.#locate(vni);
    this.#turn += MAX_TAPS_PER_LOOK;
  }

  #locate(vni: Vni): void {
    const place = placeOfTap(this.#held.netlink, vni.tap.fds[0]);
    if (place.kind === 'here') this.#see(vni, place.link);
    else if (place.kind === 'elsewhere') this.#leave(vni, place.elsewhere);
    else this.#lose(vni);
  }

  #see(first: Vni, link: Link): void {
    const { log, netlink } = this.#held;
    const before = seenTap(first);
    if (first.elsewhere) log.info({ event: 'tap-back', ...named(first), name: link.name });
    if (before && before.name !== link.name) this.#onRenamed(first, link);
    const isKnown = first.master?.index === link.master;
    const master = link.master === 0 ? undefined : isKnown ? first.master : findLink(netlink, link.master);
    if (this.#isOthersMtu(first, link)) log.info({ event: 'tap-mtu', ...named(first), mtu: link.mtuBytes });
    this.#update(first, { link, elsewhere: undefined, master });
    this.upkeep.consider(first);
  }

  #leave(first: Vni, elsewhere: Elsewhere): void {
    const { namespace, link } = elsewhere;
    if (!first.elsewhere) {
      this.#held.log.info({ event: 'tap-moved', ...named(first), namespace: namespace ?? null });
    }
    // If the TAP cannot be read now, its last known state stays.
    const known = link ?? first.elsewhere?.link;
    this.#update(first, { link: undefined, elsewhere: { namespace, link: known }, master: undefined });
  }

  #lose(first: Vni): void {
    if (!hasTap(first)) return;
    this.#held.log.error({ event: 'tap-gone', ...named(first) });
    const seen = seenTap(first);
    const before = { mac: seen?.mac, overrun: tapOverrun(first.tap, seen) };
    this.#update(first, { link: undefined, elsewhere: undefined, master: undefined });
    this.#held.workers.tellAll({ kind: 'remove-tap', tap: tapNumber(first) });
    this.upkeep.remake(first, before);
  }

  /** All VNIs of the TAP are updated, since a trunk has many. */
  #update(first: Vni, now: Pick<Vni, 'link' | 'elsewhere' | 'master'>): void {
    for (const vni of sharersOf(this.#held.vnis, first)) {
      const before = dataPathView(vni);
      Object.assign(vni, now);
      if (this.#index) noteTap(this.#index, vni);
      if (dataPathView(vni) !== before) this.#held.workers.tellAll(putSegment(vni));
    }
  }

  #attach(vni: Vni): void {
    const { workers } = this.#held;
    workers.tellAll({ kind: 'remove-tap', tap: tapNumber(vni) });
    for (let worker = 0; worker < workers.size; worker++) workers.tellOne(worker, addTap(vni, worker));
  }

  /** Without `mtu=`, an MTU that vtepd did not set is reported, since frames may be lost, and is left as it is. */
  #isOthersMtu(vni: Vni, { mtuBytes }: Link): boolean {
    const { config } = vni;
    return (
      mtuBytes !== seenTap(vni)?.mtuBytes &&
      config.mtuBytes === undefined &&
      mtuBytes !== startMtu(vni, this.#held.vnis)
    );
  }

  /** The next run of vtepd has to find a TAP that outlives this one. */
  #onRenamed(vni: Vni, { index, name, alias }: Link): void {
    const { log, netlink, taps } = this.#held;
    log.info({ event: 'tap-renamed', ...named(vni), name });
    if (!vni.tap.isOwn || readAlias(alias, taps.ownAlias) === undefined) return;
    try {
      const wanted = name === vni.config.tap ? taps.ownAlias : renamedAlias(taps.ownAlias, vni.config.tap);
      changeLink(netlink, index, { alias: wanted }, `TAP "${name}"`);
    } catch (err) {
      if (!(err instanceof VtepError)) throw err;
      log.warn({ event: 'tap-not-put-back', ...named(vni), err });
    }
  }
}

function noteTap({ taps, ports }: Known, vni: Vni): void {
  if (vni.link) taps.set(vni.link.index, vni);
  if (vni.master) append(ports, vni.master.index, vni);
}

function append<Key>(lists: Map<Key, Vni[]>, key: Key, vni: Vni): void {
  const list = lists.get(key);
  if (list) list.push(vni);
  else lists.set(key, [vni]);
}

/** Names a TAP in the log. A trunk belongs to no single VNI. */
export function named({ config: { tap, vni, vlan } }: Pick<Vni, 'config'>): { tap: string; vni?: number } {
  return { tap, ...(vlan === undefined && { vni }) };
}

/** The properties of a TAP that the data path depends on. */
function dataPathView(vni: Vni): string {
  const seen = seenTap(vni);
  return [vni.link?.up ?? vni.elsewhere !== undefined, seen?.mtuBytes, seen?.mac].join();
}

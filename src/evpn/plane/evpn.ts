import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { SpeakerAddress } from '../../config/config.ts';
import type { ControlledSegment, ControlPlane, Forwarding, Stations } from '../../control/control-plane.ts';
import { formatRouteNumber } from '../../lib/route-numbers.ts';
import type { Logger } from '../../observe/log.ts';
import type { EvpnRouteRow, EvpnSource, EvpnStatus, EvpnVni } from '../evpn-status.ts';
import { type OtherRoute, type Path, RFC8365_VXLAN } from '../route.ts';
import { type MacAlert, OwnRoutes, type RdNumbers } from '../routes/own-routes.ts';
import { RemoteRoutes } from '../routes/remote-routes.ts';
import type { ConnectSpeaker, Speaker } from '../speaker.ts';
import { Announcer } from './announcer.ts';
import { Placer } from './placer.ts';
import { SpeakerSession } from './session.ts';
import { Withdrawals } from './withdrawals.ts';

const TICK_MS = 1_000;

/** Entries that found a table full and are tried again in one tick: few, since it may be full for long. */
const RETRIED_PER_TICK = 256;

/** How often the end of the withdrawals is looked for at the stop. */
const STOP_LOOK_MS = 5;

/** MACs that are compared in one step. */
const SLICE_MACS = 1_000;

export interface EvpnOptions {
  readonly address: SpeakerAddress;
  /** How long received routes stay in force without the speaker. */
  readonly holdSeconds: number;
  readonly connect: ConnectSpeaker;
  readonly log: Logger;
  /** Where the numbers of the route distinguishers are kept. */
  readonly numbers: { readonly stored: RdNumbers; store(numbers: RdNumbers): void };
  /** How long routes of before are kept for a peer that sends no End-of-RIB. */
  readonly endOfRibMs?: number;
}

/**
 * The control plane BGP EVPN (RFC 7432, RFC 8365). Segments and stations of this host become own routes, which the announcer brings to the BGP speaker.
 * Routes of other VTEPs become places of MACs, which the placer brings to the forwarding database. Where both sides have a MAC, the own side decides
 * who holds it.
 */
export class Evpn implements ControlPlane, EvpnSource {
  readonly origin = 'evpn';
  readonly #options: EvpnOptions;
  readonly #own: OwnRoutes;
  readonly #remote: RemoteRoutes;
  readonly #session: SpeakerSession;
  readonly #withdrawals: Withdrawals;
  readonly #announcer: Announcer;
  readonly #placer: Placer;
  readonly #segments = new Map<number, ControlledSegment>();
  #ticks: NodeJS.Timeout | undefined;
  #isWorking = false;
  #storedChanges = 0;

  constructor(options: EvpnOptions) {
    const { log, numbers } = options;
    this.#options = options;
    this.#own = new OwnRoutes(
      {
        held: (vni, mac, isHeld) => this.#remote.setHeld(vni, mac, isHeld),
        alert: (alert) => this.#alert(alert),
        holderChanged: (vni, mac) => this.#remote.free(vni, mac),
      },
      numbers.stored,
    );
    this.#remote = new RemoteRoutes({ isHere: (vni, mac) => this.#own.isHere(vni, mac) });
    this.#announcer = new Announcer(this.#own, log);
    this.#placer = new Placer(this.#remote, log);
    this.#session = new SpeakerSession(options, {
      connected: (speaker) => this.#connected(speaker),
      listed: (paths) => this.#heard(paths),
      known: (speaker) => this.#known(speaker),
      paths: (paths) => this.#heard(paths),
      others: (routes) => this.#others(routes),
      complete: () => this.#start(() => this.#complete()),
      lost: () => this.#lost(),
      expired: () => this.#start(() => this.#remote.clear()),
    });
    this.#withdrawals = new Withdrawals(
      () => this.#session.hasLostPeers(),
      (paths) => {
        for (const path of paths) this.#remote.received(path);
        this.#turn();
      },
    );
  }

  /** @param control attaches this control plane to the VTEP */
  start(control: { attach(plane: Evpn): Forwarding }): void {
    this.#placer.use(control.attach(this));
    this.#session.start();
    this.#ticks = setInterval(() => {
      this.#own.tick(performance.now());
      this.#remote.retryFull(RETRIED_PER_TICK);
      this.#turn();
    }, TICK_MS).unref();
  }

  /** Withdraws all own routes, and ends. @param patienceMs for the withdrawals */
  async stop(patienceMs: number): Promise<void> {
    clearInterval(this.#ticks);
    this.#own.withdrawAll();
    this.#announcer.send();
    for (const end = performance.now() + patienceMs; this.#isWithdrawing && performance.now() < end; )
      await sleep(STOP_LOOK_MS);
    this.#announcer.use(undefined);
    this.#session.stop();
  }

  segmentUpdated(segment: ControlledSegment): undefined {
    this.#segments.set(segment.vni, segment);
    this.#own.segmentUpdated(segment);
    this.#remote.segmentUpdated(segment);
    this.#start(() => {});
  }

  segmentRemoved(vni: number): void {
    this.#segments.delete(vni);
    this.#own.segmentRemoved(vni, performance.now());
    this.#remote.segmentRemoved(vni);
    this.#start(() => {});
  }

  stationsChanged(stations: Stations): void {
    this.#own.stationsChanged(stations, performance.now());
    // A static entry may be gone that had precedence.
    for (const mac of stations.gone) this.#remote.free(stations.vni, mac);
    this.#turn();
  }

  status(): EvpnStatus {
    const { type2, type3, other } = this.#remote.counts;
    return {
      session: this.#session.status,
      routesIn: { type2, type3, other },
      routesOut: this.#own.routesOut,
      pending: this.#own.pending,
      refused: this.#own.refusedRoutes,
      vnis: [...this.#segments.values()].flatMap((segment) => this.#vniStatus(segment) ?? []),
    };
  }

  rows(): Iterable<EvpnRouteRow> {
    return this.#remote.rows();
  }

  get #isWithdrawing(): boolean {
    return this.#session.status.dialect !== undefined && !this.#own.isSettled;
  }

  #vniStatus({ vni, config }: ControlledSegment): EvpnVni | undefined {
    const { control, targets } = config;
    if (control === 'multicast') return undefined;
    const own = this.#own.status(vni);
    const derived = targets === 'rfc8365' || targets.length === 0;
    return {
      ...{ vni, control },
      rd: own?.rd && formatRouteNumber(own.rd),
      importTargets: derived ? [`*:${vni}`, `*:${vni + RFC8365_VXLAN}`] : targets.map(formatRouteNumber),
      exportTargets: (own?.exportTargets ?? []).map(formatRouteNumber),
      ...this.#remote.inForce(vni),
      ...{ macsOut: own?.macsOut ?? 0, neighboursOut: own?.neighboursOut ?? 0 },
      isAnnounced: own?.isAnnounced ?? false,
    };
  }

  #connected(speaker: Speaker): void {
    this.#own.speakerKnown(speaker);
    this.#remote.beginGeneration();
  }

  /** All routes of the speaker were reported, and among them those of ours that it has: only the others are announced. */
  #known(speaker: Speaker): void {
    this.#announcer.use(speaker);
    this.#turn();
  }

  /** What was not announced again is gone. */
  #complete(): void {
    this.#withdrawals.applyAll();
    this.#remote.sweep();
  }

  #lost(): void {
    this.#withdrawals.clear();
    this.#announcer.use(undefined);
    this.#own.speakerLost();
  }

  #heard(paths: readonly Path[]): void {
    const now = performance.now();
    for (const path of paths) {
      if (path.isLocal) this.#own.found(path, now);
      if (path.isWithdrawn && !path.isLocal) {
        this.#withdrawals.add(path);
        continue;
      }
      this.#withdrawals.cancel(path);
      this.#remote.received(path);
    }
    this.#turn();
  }

  #others(routes: readonly OtherRoute[]): void {
    for (const route of routes) this.#remote.other(route);
  }

  /** Starts work that is done in slices. */
  #start(begin: () => void): void {
    begin();
    this.#turn();
    if (!this.#isWorking) void this.#work();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    // Many segments may be updated in one step.
    await setImmediate();
    while (this.#remote.slice()) {
      this.#turn();
      await setImmediate();
    }
    this.#isWorking = false;
    this.#turn();
  }

  /** Brings own routes in step with received ones, and both with the speaker and the forwarding database. */
  #turn(): void {
    for (;;) {
      const changed = this.#remote.takeChanged(SLICE_MACS);
      if (!changed) break;
      const { vni, macs } = changed;
      for (const mac of macs) this.#own.rivalChanged(vni, mac, this.#remote.best(vni, mac), performance.now());
    }
    this.#announcer.send();
    this.#placer.place();
    if (this.#own.rdChanges === this.#storedChanges) return;
    this.#storedChanges = this.#own.rdChanges;
    this.#options.numbers.store(this.#own.rdNumbers);
  }

  #alert({ vni, mac, vtep, cause }: MacAlert): void {
    this.#options.log.warn({ event: 'evpn-mac-conflict', vni, mac, vtep, cause });
  }
}

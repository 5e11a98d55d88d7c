import { setImmediate } from 'node:timers/promises';
import { routeFrom } from '../../host/underlay/route-scope.ts';
import { type ChoiceGround, destinationOf, routeTo } from '../../host/underlay/underlay-choice.ts';
import { type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { ROUTE_LOOK_PAUSE_MS } from '../../lib/limits.ts';
import { findLink, type Link } from '../../sys/netlink/links.ts';
import { EVENT_GROUPS, NetlinkWatch } from '../../sys/netlink/netlink-watch.ts';
import type { Route, RouteFrom } from '../../sys/netlink/routes.ts';
import { SysError } from '../../sys/sys-error.ts';
import type { Paths, Vni } from '../vni/vni.ts';
import type { HeldOnHost } from './held-on-host.ts';

/** Routes asked for between two turns of the event loop; each takes some microseconds. */
const ROUTES_AT_A_TIME = 64;

const NOTHING_WRONG: Paths = { trouble: undefined, unseen: undefined, isElsewhere: false };

export interface PathGround extends Pick<HeldOnHost, 'log' | 'vnis'>, ChoiceGround {
  /** Takes a VNI to another interface, in turn with other changes. @throws VtepError */
  readonly move: (vni: Vni, link: Link) => Promise<void>;
}

/**
 * Keeps VNIs in step with the host's routes: whether their destinations are reached at all, and, without `--dev`, by which interface. Asks for
 * one route of each destination, at most once in ROUTE_LOOK_PAUSE_MS, however many events there are.
 */
export class PathWatch {
  readonly #ground: PathGround;
  readonly #watch: NetlinkWatch;
  #pause: NodeJS.Timeout | undefined;
  #isStopped = false;
  #looking: Promise<void> | undefined;
  #isFailing = false;
  #isStale = false;

  constructor(ground: PathGround) {
    this.#ground = ground;
    const { log } = ground;
    const onEvents = () => void this.#look();
    const onFailing = (err: Error) => log.warn({ event: 'host-unseen', err }, 'vtepd tries again until it succeeds');
    const onWell = () => log.info({ event: 'host-seen' }, 'the routes can be read again');
    this.#watch = new NetlinkWatch(EVENT_GROUPS.routes, { onEvents, onFailing, onWell }, ROUTE_LOOK_PAUSE_MS);
  }

  /** Resolves after the first look. @throws SysError if there is no socket to hear by */
  async start(): Promise<void> {
    this.#watch.start();
    await this.#looking;
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#pause);
    this.#watch.stop();
  }

  /** Links, addresses or lists have changed, which routes follow without an event of their own. */
  touch(): void {
    this.#pause ??= setTimeout(() => {
      this.#pause = undefined;
      void this.#look();
    }, ROUTE_LOOK_PAUSE_MS);
  }

  /** A VNI is new, or its list is another. */
  lookAt(vni: Vni): void {
    try {
      vni.paths = pathsOf(vni, this.#ground, new Routes(this.#ground));
    } catch (error) {
      // The look that follows finds it.
      if (!(error instanceof VtepError)) throw error;
    }
    this.touch();
  }

  /** One look at a time: what changes meanwhile is looked at once more. */
  #look(): Promise<void> {
    this.#isStale = true;
    this.#looking ??= this.#lookOrLater().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** What the kernel does not answer now is asked again with the next look. */
  async #lookOrLater(): Promise<void> {
    try {
      await this.#lookUntilFresh();
      this.#isFailing = false;
    } catch (err) {
      if (!(err instanceof VtepError)) throw err;
      if (!this.#isFailing)
        this.#ground.log.warn({ event: 'paths-unseen', err }, 'vtepd tries again until it succeeds');
      this.#isFailing = true;
      if (!this.#isStopped) this.touch();
    }
  }

  async #lookUntilFresh(): Promise<void> {
    while (this.#isStale && !this.#isStopped) {
      this.#isStale = false;
      const routes = new Routes(this.#ground);
      for (const vni of [...this.#ground.vnis]) {
        if (this.#isStopped) return;
        await routes.giveWay();
        await this.#lookAt(vni, routes);
      }
    }
  }

  async #lookAt(vni: Vni, routes: Routes): Promise<void> {
    const followed = await this.#follow(vni, routes);
    const paths = pathsOf(vni, this.#ground, routes);
    const trouble = paths.trouble ?? followed.trouble;
    const unseen = paths.unseen ?? followed.unseen;
    if (this.#isStopped) return;
    if (trouble !== vni.paths?.trouble && (trouble !== undefined || vni.paths?.trouble !== undefined)) {
      this.#ground.log.warn({ event: 'paths-changed', vni: vni.config.vni, status: trouble ?? 'ok' });
    }
    vni.paths = { ...paths, trouble, unseen };
    // No event will tell that the kernel answers again.
    if (unseen !== undefined) this.touch();
  }

  /** Without `--dev` a VNI is where the route to its destination leads. Why it cannot be, if it cannot. */
  async #follow(vni: Vni, routes: Routes): Promise<Pick<Paths, 'trouble' | 'unseen'>> {
    const { config, netlink, move } = this.#ground;
    const destination = config.dev === undefined ? destinationOf(vni.config, this.#ground) : undefined;
    if (destination === undefined) return NOTHING_WRONG;
    const asked = routes.to(destination, { ...fromOf(destination, vni), source: undefined });
    if (asked.unseen !== undefined) return { trouble: undefined, unseen: asked.unseen };
    const { route } = asked;
    if (!route || route.isLocal || route.interfaceIndex === vni.underlay.link.index) return NOTHING_WRONG;
    let name = `interface ${route.interfaceIndex}`;
    try {
      const link = findLink(netlink, route.interfaceIndex);
      if (!link) return NOTHING_WRONG;
      name = link.name;
      await move(vni, link);
      return NOTHING_WRONG;
    } catch (error) {
      const why = (error as Error).message;
      const trouble = `the route to ${destination} uses ${name}, not ${vni.underlay.name}: ${why}`;
      return { trouble, unseen: undefined };
    }
  }
}

/** What a VNI without a group has of routes; groups need none. */
export function pathsOf(vni: Vni, { addresses }: Pick<ChoiceGround, 'addresses'>, routes: Routes): Paths {
  const { group, remotes } = vni.config;
  const vrf = vni.underlay.vrf?.index;
  if (group !== undefined) return NOTHING_WRONG;
  const others = vni.flood.addresses(remotes).filter((remote) => !addresses.has(remote, vrf));
  const [first] = others;
  if (first === undefined) return NOTHING_WRONG;
  let unseen: string | undefined;
  for (const remote of others) {
    const asked = routes.to(remote, fromOf(remote, vni));
    unseen ??= asked.unseen;
    const { route } = asked;
    if (route) return { ...NOTHING_WRONG, isElsewhere: route.interfaceIndex !== vni.underlay.link.index };
  }
  if (unseen !== undefined) return { ...NOTHING_WRONG, unseen };
  const any = others.length > 1 ? ' or any other remote' : '';
  return { ...NOTHING_WRONG, trouble: `no route to ${first}${any}` };
}

/** What the route that a VNI sends by to an address is asked for by. */
function fromOf(address: IpAddress, { underlay, underlays }: Vni): RouteFrom {
  return routeFrom(underlays.find(({ family }) => family === ipFamily(address)) ?? underlay, address);
}

/** A route or that there is none, or why the kernel did not say. */
interface Asked {
  readonly route: Route | undefined;
  readonly unseen: string | undefined;
}

/** The routes of one look, each asked for once. */
export class Routes {
  readonly #ground: ChoiceGround;
  readonly #known = new Map<string, Asked>();
  #asked = 0;

  constructor(ground: ChoiceGround) {
    this.#ground = ground;
  }

  to(destination: IpAddress, from: RouteFrom): Asked {
    const key = `${from.device} ${from.source} ${destination}`;
    const known = this.#known.get(key);
    if (known) return known;
    this.#asked++;
    const asked = this.#ask(destination, from);
    this.#known.set(key, asked);
    return asked;
  }

  #ask(destination: IpAddress, from: RouteFrom): Asked {
    try {
      return { route: routeTo(this.#ground, destination, from), unseen: undefined };
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      return { route: undefined, unseen: error.reason };
    }
  }

  /** Lets others have their turn when enough was asked. */
  async giveWay(): Promise<void> {
    if (this.#asked < ROUTES_AT_A_TIME) return;
    this.#asked = 0;
    await setImmediate();
  }
}

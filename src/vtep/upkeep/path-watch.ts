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

/** Route requests between two turns of the event loop. Each takes some microseconds. */
const ROUTES_AT_A_TIME = 64;

const NOTHING_WRONG: Paths = { trouble: undefined, unseen: undefined, isElsewhere: false };

export interface PathGround extends Pick<HeldOnHost, 'log' | 'vnis'>, ChoiceGround {
  /** Moves a VNI to another interface, in turn with other changes. @throws VtepError */
  readonly move: (vni: Vni, link: Link) => Promise<void>;
}

/**
 * Keeps VNIs in step with the routes of the host: whether their destinations are reachable and, without `--dev`, by which interface. Requests one
 * route per destination, at most once in ROUTE_LOOK_PAUSE_MS, however many events arrive.
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

  /** Resolves after the first look. @throws SysError if the socket for route events cannot be opened */
  async start(): Promise<void> {
    this.#watch.start();
    await this.#looking;
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#pause);
    this.#watch.stop();
  }

  /** Links, addresses or lists have changed. Routes change with them without an event of their own. */
  touch(): void {
    this.#pause ??= setTimeout(() => {
      this.#pause = undefined;
      void this.#look();
    }, ROUTE_LOOK_PAUSE_MS);
  }

  /** Called when a VNI is new or when its list has changed. */
  lookAt(vni: Vni): void {
    try {
      vni.paths = pathsOf(vni, this.#ground, new Routes(this.#ground));
    } catch (error) {
      // The next look finds the error again.
      if (!(error instanceof VtepError)) throw error;
    }
    this.touch();
  }

  /** Only one look runs at a time. A change during a look causes another look. */
  #look(): Promise<void> {
    this.#isStale = true;
    this.#looking ??= this.#lookOrLater().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** What the kernel does not answer now is requested again at the next look. */
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
    // There is no event when the kernel can answer again.
    if (unseen !== undefined) this.touch();
  }

  /** Without `--dev` a VNI uses the interface of the route to its destination. Returns why it cannot use it, if so. */
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

/** The routes of a VNI without a group. Groups need no route. */
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

/** The source parameters of the route request, so that the route is the one by which the VNI sends to the address. */
function fromOf(address: IpAddress, { underlay, underlays }: Vni): RouteFrom {
  return routeFrom(underlays.find(({ family }) => family === ipFamily(address)) ?? underlay, address);
}

/** A route, or that there is none, or why the kernel did not answer. */
interface Asked {
  readonly route: Route | undefined;
  readonly unseen: string | undefined;
}

/** The routes of one look. Each is requested once. */
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

  /** Lets other tasks run after enough requests. */
  async giveWay(): Promise<void> {
    if (this.#asked < ROUTES_AT_A_TIME) return;
    this.#asked = 0;
    await setImmediate();
  }
}

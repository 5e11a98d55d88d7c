import { setImmediate } from 'node:timers/promises';
import type { IpAddress } from '../lib/addresses.ts';
import { ROUTE_LOOK_PAUSE_MS } from '../lib/limits.ts';
import { findLink, type Link } from '../sys/links.ts';
import { watchRoutes } from '../sys/route-watch.ts';
import type { Route } from '../sys/routes.ts';
import type { HeldOnHost } from './held-on-host.ts';
import { type ChoiceGround, destinationOf, routeTo } from './underlay-choice.ts';
import type { Paths, Vni } from './vni.ts';

/** Routes asked for between two turns of the event loop; each takes some microseconds. */
const ROUTES_AT_A_TIME = 64;

const NOTHING_WRONG: Paths = { trouble: undefined, isElsewhere: false };

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
  #end: () => void = () => {};
  #pause: NodeJS.Timeout | undefined;
  #isStopped = false;
  #looking: Promise<void> | undefined;
  #isStale = false;

  constructor(ground: PathGround) {
    this.#ground = ground;
  }

  /** Resolves after the first look. */
  async start(): Promise<void> {
    this.#end = watchRoutes(() => this.#look(), ROUTE_LOOK_PAUSE_MS);
    await this.#look();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#pause);
    this.#end();
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
    vni.paths = pathsOf(vni, this.#ground, new Routes(this.#ground));
    this.touch();
  }

  /** One look at a time: what changes meanwhile is looked at once more. */
  #look(): Promise<void> {
    this.#isStale = true;
    this.#looking ??= this.#lookUntilFresh().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
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
    const refusal = await this.#follow(vni, routes);
    const paths = pathsOf(vni, this.#ground, routes);
    const trouble = paths.trouble ?? refusal;
    if (this.#isStopped) return;
    if (trouble !== vni.paths?.trouble && (trouble !== undefined || vni.paths?.trouble !== undefined)) {
      this.#ground.log.warn({ event: 'paths-changed', vni: vni.config.vni, status: trouble ?? 'ok' });
    }
    vni.paths = { ...paths, trouble };
  }

  /** Without `--dev` a VNI is where the route to its destination leads. Why it cannot be, if it cannot. */
  async #follow(vni: Vni, routes: Routes): Promise<string | undefined> {
    const { config, netlink, move } = this.#ground;
    const destination = config.dev === undefined ? destinationOf(vni.config, this.#ground) : undefined;
    const route = destination && routes.to(destination);
    if (!route || route.isLocal || route.interfaceIndex === vni.underlay.link.index) return undefined;
    let name = `interface ${route.interfaceIndex}`;
    try {
      const link = findLink(netlink, route.interfaceIndex);
      if (!link) return undefined;
      name = link.name;
      await move(vni, link);
      return undefined;
    } catch (error) {
      return `the route to ${destination} leaves by ${name}, not by ${vni.underlay.name}: ${(error as Error).message}`;
    }
  }
}

/** What a VNI without a group has of routes; groups need none. */
function pathsOf(vni: Vni, { addresses }: Pick<ChoiceGround, 'addresses'>, routes: Routes): Paths {
  const { group, remotes } = vni.config;
  if (group !== undefined) return NOTHING_WRONG;
  const others = remotes.filter((remote) => !addresses.has(remote));
  const [first] = others;
  if (first === undefined) return NOTHING_WRONG;
  for (const remote of others) {
    const route = routes.to(remote);
    if (route) return { trouble: undefined, isElsewhere: route.interfaceIndex !== vni.underlay.link.index };
  }
  const any = others.length > 1 ? ' or any other remote' : '';
  return { trouble: `no route to ${first}${any}`, isElsewhere: false };
}

/** The routes of one look, each asked for once. */
class Routes {
  readonly #ground: ChoiceGround;
  readonly #known = new Map<IpAddress, Route | undefined>();
  #asked = 0;

  constructor(ground: ChoiceGround) {
    this.#ground = ground;
  }

  to(destination: IpAddress): Route | undefined {
    if (!this.#known.has(destination)) {
      this.#asked++;
      this.#known.set(destination, routeTo(this.#ground, destination));
    }
    return this.#known.get(destination);
  }

  /** Lets others have their turn when enough was asked. */
  async giveWay(): Promise<void> {
    if (this.#asked < ROUTES_AT_A_TIME) return;
    this.#asked = 0;
    await setImmediate();
  }
}

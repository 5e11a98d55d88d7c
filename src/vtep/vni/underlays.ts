import type { VniConfig } from '../../config/config.ts';
import type { Settings } from '../../config/settings.ts';
import { familiesOf } from '../../config/underlay-addresses.ts';
import type { HostAddresses } from '../../host/host-addresses.ts';
import { narrowPaths } from '../../host/underlay/path-mtu.ts';
import { Underlay, type UnderlayGround } from '../../host/underlay/underlay.ts';
import { chooseFamilies, chooseHome, chooseInterface } from '../../host/underlay/underlay-choice.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { MAX_UNDERLAYS } from '../../lib/limits.ts';
import type { Logger } from '../../observe/log.ts';
import type { Link } from '../../sys/netlink/links.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { HeldPort } from '../../underlay/held-port.ts';
import { Listeners } from '../../underlay/listeners.ts';
import type { Vni } from './vni.ts';

type VniUnderlays = Vni['underlays'];

export interface UnderlaysOptions {
  readonly netlink: NetlinkSocket;
  readonly log: Logger;
  readonly settings: Settings;
  readonly addresses: HostAddresses;
  /** Whether the kernel may merge received datagrams. */
  readonly udpGro: boolean;
}

/** The underlays of the VTEP. Each is opened when the first VNI needs it. Only this class writes the list. */
export class Underlays {
  /** The sockets that receive unicast. */
  readonly listeners: Listeners;
  readonly #list: Underlay[] = [];
  readonly #ground: UnderlayGround;
  readonly #log: Logger;
  /** Datagrams that were lost at the groups of underlays that are closed now. */
  #droppedBefore = 0;

  constructor({ log, settings, ...options }: UnderlaysOptions) {
    const { port, listen, workers } = settings.config;
    const held = new HeldPort({ sharesGroups: listen === 'local' });
    let sockets = 0;
    const nextSocket = () => sockets++;
    this.listeners = new Listeners({ held, port, workers, nextSocket, udpGro: options.udpGro });
    this.#ground = {
      ...{ ...options, held, nextSocket, listeners: this.listeners },
      get config() {
        return settings.config;
      },
    };
    this.#log = log;
  }

  /** The open underlays. All callers share this list, and it changes. */
  get list(): readonly Underlay[] {
    return this.#list;
  }

  /**
   * All VNIs of a start with their underlays, all of them open. A VNI without a destination uses the same underlays as the others; if no VNI has one,
   * those of the default route. @throws VtepError
   */
  place(vnis: readonly VniConfig[]): Pick<Vni, 'config' | 'underlays'>[] {
    const links = vnis.map((vni) => chooseInterface(this.#ground, vni));
    const fallback = links.find((link) => link !== undefined) ?? this.#home(vnis);
    return vnis.map((vni, i) => ({ config: vni, underlays: this.on(links[i] ?? fallback ?? noDestination(vni), vni) }));
  }

  /**
   * The underlays for a VNI that is added at run time, by the rules of the start. An underlay that is opened is the last in the list. @throws
   * VtepError
   */
  forVni(config: VniConfig): VniUnderlays {
    const { dev } = this.#ground.config;
    // The interface may have another name by now.
    const named = dev === undefined ? undefined : this.#list.find((underlay) => underlay.isNamed(dev))?.link;
    const link = named ?? chooseInterface(this.#ground, config) ?? this.#list[0]?.link ?? this.#home([config]);
    return this.on(link ?? noDestination(config), config);
  }

  /** The underlays of a VNI on an interface. An underlay that is opened is the last in the list, also if a later one throws. @throws VtepError */
  on(link: Link, config: VniConfig): VniUnderlays {
    const families = chooseFamilies(this.#ground, config, link);
    return families.map((family) => this.#open(link, family, config)) as unknown as VniUnderlays;
  }

  /** Closes an underlay that no VNI and no worker uses any more, and removes it from the list. */
  close(underlay: Underlay): void {
    this.forget(underlay);
    underlay.close();
  }

  /** Removes an underlay from the list. The caller closes it with its sockets; its groups are left already. */
  forget(underlay: Underlay): void {
    this.#droppedBefore += underlay.membership.dropped;
    this.#list.splice(this.#list.indexOf(underlay), 1);
  }

  closeAll(): void {
    for (const underlay of [...this.#list]) this.close(underlay);
    this.listeners.closeAll();
  }

  /** Datagrams that the kernel lost because vtepd did not read them in time. */
  get dropped(): number {
    const groups = this.#list.reduce((total, { membership }) => total + membership.dropped, this.#droppedBefore);
    return groups + this.listeners.dropped;
  }

  /** Returns the path MTU for an address if it is known to be smaller than the MTU of the underlay, else null. @param links by their index */
  pathMtus(links: ReadonlyMap<number, Link>): (address: IpAddress) => number | null {
    return narrowPaths(this.#ground.netlink, links, this.#list);
  }

  /** Only a VNI whose destinations are named by a control plane can do without any of its own. */
  #home(vnis: readonly VniConfig[]): Link | undefined {
    return vnis.some(({ control }) => control !== 'multicast') ? chooseHome(this.#ground) : undefined;
  }

  #open(link: Link, family: 4 | 6, config: VniConfig): Underlay {
    const known = this.#list.find((underlay) => underlay.isOn(link) && underlay.family === family);
    if (known) return known;
    if (this.#list.length >= MAX_UNDERLAYS) throw tooMany(link, config);
    // A VNI without a destination does not ask for the family.
    const object = familiesOf(config).includes(family) ? `--vni ${config.vni}` : `--dev ${link.name}`;
    const underlay = new Underlay(this.#ground, { number: this.#freeNumber(), link, family, object });
    this.#list.push(underlay);
    const { name: dev, status } = underlay;
    if (status !== 'ok') this.#log.warn({ event: 'underlay-changed', dev, status });
    return underlay;
  }

  #freeNumber(): number {
    const used = new Set(this.#list.map(({ number }) => number));
    for (let number = 0; ; number++) if (!used.has(number)) return number;
  }
}

function tooMany({ name }: Link, { vni }: VniConfig): VtepError {
  const cause = `it needs another underlay interface, ${name}, but ${MAX_UNDERLAYS} is the limit`;
  return new VtepError('ERR_VTEP_LIMIT', { object: `--vni ${vni}`, cause, remedy: 'run a second daemon for it' });
}

function noDestination({ vni, control }: VniConfig): never {
  throw new VtepError('ERR_VTEP_INTERFACE', {
    object: `--vni ${vni}`,
    cause: `no GROUP or remote to route to${control === 'multicast' ? '' : ', and no default route'}`,
    remedy: 'name the underlay interface with --dev',
  });
}

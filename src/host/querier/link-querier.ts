import { type IpAddress, ipBytes, isLinkLocalIpv6 } from '../../lib/addresses.ts';
import type { Logger } from '../../observe/log.ts';
import { QuerySocket } from '../../sys/socket/query-socket.ts';
import { SysError } from '../../sys/sys-error.ts';
import { ALL_SYSTEMS, IGMP_QUERY_BYTES, readIgmpQuery, writeIgmpQuery } from '../../wire/queries/igmp.ts';
import { ALL_NODES, MLD_QUERY_BYTES, readMldQuery, writeMldQuery } from '../../wire/queries/mld.ts';
import { monotonicMs } from '../../worker/clock.ts';
import type { HostAddresses } from '../host-addresses.ts';
import type { Underlay } from '../underlay/underlay.ts';
import { QuerierElection, type QuerierView } from './querier-election.ts';

/** IGMP or MLD. */
const PROTOCOLS = {
  4: { read: readIgmpQuery, write: writeIgmpQuery, bytes: IGMP_QUERY_BYTES, destination: ipBytes(ALL_SYSTEMS) },
  6: { read: readMldQuery, write: writeMldQuery, bytes: MLD_QUERY_BYTES, destination: ipBytes(ALL_NODES) },
} as const;

export interface LinkQuerierOptions {
  readonly addresses: Pick<HostAddresses, 'on'>;
  readonly log: Logger;
  /** Whether to be the querier if there is no other. */
  readonly isCandidate: () => boolean;
}

/** The queriers of one interface and family: receives queries, takes part in the election, and sends queries if elected. */
export class LinkQuerier {
  readonly #underlay: Underlay;
  readonly #options: LinkQuerierOptions;
  readonly #election = new QuerierElection(monotonicMs());
  #socket: QuerySocket;
  /** Index of the interface of the socket. Another interface with the same name has another index. */
  #index: number;
  #isUp: boolean;

  /** Listens from now on. @throws SysError */
  constructor(underlay: Underlay, options: LinkQuerierOptions) {
    this.#underlay = underlay;
    this.#options = options;
    this.#socket = this.#open();
    this.#index = underlay.link.index;
    this.#isUp = underlay.link.up;
  }

  view(nowMs: number): QuerierView {
    return this.#election.view(nowMs);
  }

  /** Follows the interface, and sends queries that are due. @throws SysError if the interface is another and cannot be listened on */
  look(nowMs: number): void {
    const { link } = this.#underlay;
    if (link.index !== this.#index) {
      const successor = this.#open();
      this.#socket.close();
      this.#socket = successor;
      this.#index = link.index;
      this.#isUp = false;
    }
    if (link.up && !this.#isUp) this.#election.restart();
    this.#isUp = link.up;
    const { send, changed } = this.#election.tick(this.#own(), nowMs);
    if (send !== undefined) this.#send(send);
    if (changed) this.#tell(changed);
  }

  close(): void {
    this.#socket.close();
  }

  #open(): QuerySocket {
    const { family, link } = this.#underlay;
    const socket = new QuerySocket(family, link);
    socket.watch((packet, length) => {
      const query = PROTOCOLS[family].read(packet, 0, length);
      if (query) this.#election.hear(query, monotonicMs());
    });
    return socket;
  }

  /** The source address of queries now: the source address, or in IPv6 the interface's link-local one (RFC 3810 §5.1.14). */
  #own(): IpAddress | undefined {
    const { isCandidate, addresses } = this.#options;
    const { family, source, link } = this.#underlay;
    if (!isCandidate() || !link.up) return undefined;
    if (family === 4) return source?.address;
    const usable = addresses.on(link.index).filter((each) => !each.isTentative && !each.isDuplicate);
    return usable.map(({ address }) => address).find(isLinkLocalIpv6);
  }

  #send(from: IpAddress): void {
    const { write, bytes, destination } = PROTOCOLS[this.#underlay.family];
    const packet = new Uint8Array(bytes);
    write(new DataView(packet.buffer), 0, from);
    try {
      this.#socket.send(packet, destination);
    } catch (err) {
      if (!(err instanceof SysError)) throw err;
      // The next one is sent when it is due.
      this.#options.log.warn({ event: 'query-not-sent', dev: this.#underlay.name, family: this.#underlay.family, err });
    }
  }

  #tell({ querier, own }: Pick<QuerierView, 'querier' | 'own'>): void {
    const { log } = this.#options;
    const { name: dev, family } = this.#underlay;
    if (querier !== null) log.info({ event: 'querier-changed', dev, family, querier, own });
    else log.warn({ event: 'querier-lost', dev, family }, 'switches that snoop will stop forwarding the groups');
  }
}

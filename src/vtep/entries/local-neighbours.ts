import type { LocalNeighbour, Stations } from '../../control/control-plane.ts';
import { TOLD } from '../../forward/answers/neighbour-memory.ts';
import type { ToldNeighbours } from '../../forward/answers/told-neighbours.ts';
import { formatIp, formatMac, type IpAddress } from '../../lib/addresses.ts';
import type { Logger } from '../../observe/log.ts';
import { SliceLoop } from './slice-loop.ts';

/** Neighbours of one slice: converting them to text holds the event loop for about a millisecond. */
const SLICE_NEIGHBOURS = 512;

/** Neighbours of one VNI that were heard, or heard again. Each address is in a batch at most once, with the MAC that was heard last. */
export type LocalNeighbourBatch = Pick<Stations, 'vni' | 'neighbours'>;

export type LocalNeighbourListener = (batch: LocalNeighbourBatch) => void;

interface Watch {
  readonly vni: number;
  readonly listener: LocalNeighbourListener;
}

/**
 * Reports the neighbours behind the own TAP, for segments with a listener. Workers hear them in ARP and neighbour discovery. A neighbour that is
 * heard all the time is reported by each worker at most once per NEIGHBOUR_TOLD_AGAIN_SECONDS. A neighbour that is lost because a ring is full is
 * reported when it is heard again. Nothing is reported when a neighbour falls silent: it lives as long as its MAC.
 */
export class LocalNeighbours {
  readonly #told: ToldNeighbours;
  readonly #loop: SliceLoop;
  /** By segment. */
  readonly #watches = new Map<number, Watch>();
  readonly #slice = new Int32Array(SLICE_NEIGHBOURS * TOLD.words);

  constructor(told: ToldNeighbours, log: Logger) {
    this.#told = told;
    this.#loop = new SliceLoop(
      {
        changes: () => told.news,
        change: (seen, patienceMs) => told.change(seen, patienceMs),
        slice: () => this.slice(),
      },
      log,
    );
  }

  /**
   * Reports what is heard in a segment to the listener, until the returned function is called. A segment has at most one listener.
   *
   * @param segment its number; it belongs to this VNI until then
   */
  listen(segment: number, vni: number, listener: LocalNeighbourListener): () => void {
    const watch = { vni, listener };
    this.#watches.set(segment, watch);
    this.#told.listenTo(segment);
    this.#loop.start();
    return () => {
      if (this.#watches.get(segment) !== watch) return;
      this.#watches.delete(segment);
      this.#told.ignore(segment);
      if (this.#watches.size === 0) this.#loop.stop();
    };
  }

  /** Stops all reports. */
  stop(): void {
    for (const segment of this.#watches.keys()) this.#told.ignore(segment);
    this.#watches.clear();
    this.#loop.stop();
  }

  /** Reports some neighbours. Returns whether there may be more. */
  slice(): boolean {
    const count = this.#told.read(this.#slice);
    const batches = new Map<Watch, Map<IpAddress, LocalNeighbour>>();
    for (let at = 0; at < count * TOLD.words; at += TOLD.words) {
      const watch = this.#watches.get(this.#slice[at + TOLD.segment] as number);
      // The record may belong to a VNI that had this segment number before.
      if (!watch || watch.vni !== this.#slice[at + TOLD.vni]) continue;
      const ip = this.#address(at + TOLD.a);
      const mac = formatMac(this.#slice[at + TOLD.macHigh] as number, this.#slice[at + TOLD.macLow] as number);
      const batch = batches.get(watch) ?? new Map<IpAddress, LocalNeighbour>();
      batches.set(watch, batch.set(ip, { mac, ip }));
    }
    for (const [{ vni, listener }, neighbours] of batches) listener({ vni, neighbours: [...neighbours.values()] });
    return count === SLICE_NEIGHBOURS;
  }

  #address(at: number): IpAddress {
    const octets = Buffer.alloc(16);
    for (let word = 0; word < 4; word++) octets.writeInt32BE(this.#slice[at + word] as number, word * 4);
    return formatIp(octets);
  }
}

import type { VniConfig } from '../../config/config.ts';
import type { Batch, ControlPlane, Forwarding, Refused, Said } from '../../control/control-plane.ts';
import type { ControlOrigin } from '../../control/origin.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { LiveChanges } from '../changes/live-changes.ts';
import type { LocalMacs } from '../entries/local-macs.ts';
import type { LocalNeighbours } from '../entries/local-neighbours.ts';
import type { Vni } from '../vni/vni.ts';

/** A control plane that announces changes while vtepd runs. */
export type LivePlane = ControlPlane & { readonly origin: ControlOrigin };

export interface ControlGround {
  readonly log: Logger;
  readonly vnis: readonly Vni[];
  readonly changes: Pick<LiveChanges, 'say' | 'replaceSaid'>;
  readonly localMacs: Pick<LocalMacs, 'watch'>;
  readonly localNeighbours: Pick<LocalNeighbours, 'listen'>;
}

/** What a control plane was last told about a segment. */
interface Told {
  /** Stops the reports of neighbours. */
  readonly ignore: () => void;
  readonly config: VniConfig;
  readonly local: readonly IpAddress[];
}

/**
 * The control planes that are attached to the running VTEP. This class tells them of segments and stations, and gives each a `Forwarding` for its
 * announcements. Changes are found by comparison: code that changes something only requests a look.
 */
export class ControlPlanes {
  readonly #ground: ControlGround;
  readonly #attached = new Map<LivePlane, Map<Vni, Told>>();
  readonly #endings: (() => void)[] = [];

  constructor(ground: ControlGround) {
    this.#ground = ground;
  }

  /** Tells a control plane of all segments, and of every later change. @throws Error if a control plane with its origin is attached already */
  attach(plane: LivePlane): Forwarding {
    const { origin } = plane;
    if ([...this.#attached.keys()].some((other) => other.origin === origin)) throw new Error(`${origin} is attached`);
    this.#attached.set(plane, new Map());
    this.#look(plane);
    if (plane.stationsChanged)
      this.#endings.push(this.#ground.localMacs.watch((macs) => plane.stationsChanged?.({ ...macs, neighbours: [] })));
    const { changes } = this.#ground;
    return {
      origin,
      say: (vni: number, batch: Batch): Promise<Refused> => changes.say(vni, origin, batch),
      withdrawAll: async () => {
        for (const { config } of [...this.#ground.vnis]) await changes.replaceSaid(config.vni, origin, NOTHING_SAID);
      },
    };
  }

  /** Segments may have been added, removed or changed. */
  look(): void {
    for (const plane of this.#attached.keys()) this.#look(plane);
  }

  /** Stops all reports to control planes. */
  stop(): void {
    for (const end of this.#endings) end();
    for (const told of this.#attached.values()) for (const { ignore } of told.values()) ignore();
    this.#attached.clear();
  }

  #look(plane: LivePlane): void {
    const { vnis } = this.#ground;
    const told = this.#attached.get(plane) as Map<Vni, Told>;
    for (const vni of told.keys()) {
      if (vnis.includes(vni)) continue;
      told.get(vni)?.ignore();
      told.delete(vni);
      plane.segmentRemoved?.(vni.config.vni);
    }
    for (const vni of vnis) {
      const { config } = vni;
      const local = vni.underlays.flatMap(({ source }) => source?.address ?? []);
      const before = told.get(vni);
      if (before?.config === config && before.local.join() === local.join()) continue;
      told.set(vni, { config, local, ignore: before?.ignore ?? this.#listen(plane, vni) });
      const said = plane.segmentUpdated({ vni: config.vni, config, local });
      if (said) void this.#put(config.vni, plane.origin, said);
    }
  }

  #listen(plane: LivePlane, { index, config: { vni } }: Vni): () => void {
    const tell = plane.stationsChanged?.bind(plane);
    if (!tell) return () => {};
    return this.#ground.localNeighbours.listen(index, vni, (heard) =>
      tell({ ...heard, isWhole: false, endsWhole: false, here: [], gone: [] }),
    );
  }

  async #put(vni: number, origin: ControlOrigin, said: Said): Promise<void> {
    const { changes, log } = this.#ground;
    try {
      await changes.replaceSaid(vni, origin, said);
    } catch (err) {
      // vtepd stops, or the host refuses the change. The next look announces it again if something has changed.
      if (!(err instanceof VtepError)) throw err;
      log.warn({ event: 'control-refused', vni, origin, err });
    }
  }
}

const NOTHING_SAID: Said = { group: undefined, floods: [], macs: [], neighbours: [] };

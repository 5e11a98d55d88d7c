import { Gauge, type LabelValues, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client';

export interface Sample {
  readonly labels: LabelValues<string>;
  readonly value: number;
}

export interface FamilyText {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly labelNames?: readonly string[];
}

/**
 * A metric that keeps no samples and prints those that it was given last. The counters of vtepd are elsewhere. The metrics of prom-client would keep
 * a copy of each sample under a hash of its labels, which with 10,000 VNIs costs a second and a hundred megabytes.
 */
export class MetricFamily extends Gauge {
  readonly #type: FamilyText['type'];
  readonly #registry: Registry;
  readonly #name: string;
  readonly #help: string;
  #values: readonly Sample[] = [];

  constructor(registry: Registry, { type, ...text }: FamilyText) {
    super({ ...text, registers: [registry] });
    this.#type = type;
    this.#registry = registry;
    this.#name = text.name;
    this.#help = text.help;
  }

  override get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    // The declared type of `type` is an enumeration that prom-client does not have at run time, and `collect` is never asked for.
    const type = this.#type as unknown as MetricObjectWithValues<MetricValue<string>>['type'];
    const [name, help, values] = [this.#name, this.#help, this.#values as MetricValue<string>[]];
    return Promise.resolve({ name, help, type, values, aggregator: 'sum', collect: () => {} });
  }

  /** Some samples of the family as Prometheus reads them, with the heading of the family before the first. */
  async write(samples: readonly Sample[], isFirst: boolean): Promise<string> {
    // Read in the same turn, since others may write the same family.
    this.#values = samples;
    const text = this.#registry.getSingleMetricAsString(this.#name);
    this.#values = [];
    const lines = `${await text}\n`;
    return isFirst ? lines : lines.slice(lines.indexOf('\n', lines.indexOf('\n') + 1) + 1);
  }
}

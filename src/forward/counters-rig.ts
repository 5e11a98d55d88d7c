import { Counters } from './counters.ts';

/** Counters that also record each call for received or sent packets. */
export class ReadableCounters extends Counters {
  readonly passed: { readonly segment: number; readonly bytes: number; readonly packets: number }[] = [];

  constructor() {
    super(Counters.createMemory());
  }

  override received(segment: number, bytes: number, packets: number): void {
    super.received(segment, bytes, packets);
    this.passed.push({ segment, bytes, packets });
  }

  override sent(segment: number, bytes: number, packets: number): void {
    super.sent(segment, bytes, packets);
    this.passed.push({ segment, bytes, packets });
  }

  /** For one segment, or for all. */
  packets(segment?: number): number {
    return this.#sum('packets', segment);
  }

  bytes(segment?: number): number {
    return this.#sum('bytes', segment);
  }

  #sum(what: 'bytes' | 'packets', segment: number | undefined): number {
    const counted = this.passed.filter((each) => segment === undefined || each.segment === segment);
    return counted.reduce((sum, each) => sum + each[what], 0);
  }
}

import { BUSY_POLL_LOAD_PER_MS, BUSY_POLL_LOST_MS, BUSY_POLL_MS, BUSY_POLL_REST_MS } from '../lib/limits.ts';
import type { Epoll } from '../sys/epoll.ts';
import type { BusyTime } from './busy-time.ts';

/** The wait operations of a worker. */
export interface Waiting {
  readonly epoll: Pick<Epoll, 'wait'>;
  /** Gives the processor to any other thread that wants it. */
  readonly giveWay: () => void;
  readonly nowMs: () => number;
  readonly busyTime: Pick<BusyTime, 'waited'>;
}

/**
 * How a worker waits for packets. Sleeping and waking take most of a round trip. So the worker polls for a while before it sleeps, as KVM does before
 * it halts a processor (virt/kvm/kvm_main.c, `halt_poll_ns`). It polls only where packets come often, but not so densely that batches matter more,
 * and where no other thread wants the processor.
 */
export class BusyPoll {
  /** Whether the worker may poll at all. */
  isOn = false;
  readonly #waiting: Waiting;
  /** How long the last wait for work was. */
  #idleMs = BUSY_POLL_MS;
  #restUntilMs = 0;
  #load = 0;
  #loadSinceMs = 0;

  constructor(waiting: Waiting) {
    this.#waiting = waiting;
  }

  /** The worker has done this much work since its last wait. The unit is that of BUSY_POLL_LOAD_PER_MS. */
  moved(load: number): void {
    this.#load += load;
  }

  /** As `Epoll.wait`. Polls for BUSY_POLL_MS, then sleeps for at most `timeoutMs`. */
  wait(timeoutMs: number): number {
    const { epoll, nowMs, busyTime } = this.#waiting;
    const begunMs = nowMs();
    if (this.isOn) this.#weighLoad(begunMs);
    const hasProspects = this.isOn && this.#idleMs < BUSY_POLL_MS && begunMs >= this.#restUntilMs;
    const count = (hasProspects && this.#look(begunMs)) || epoll.wait(timeoutMs);
    const endedMs = nowMs();
    this.#idleMs = endedMs - begunMs;
    busyTime.waited(begunMs, endedMs);
    return count;
  }

  /** 0 if no event came in time, or if another thread had the processor. */
  #look(begunMs: number): number {
    const { epoll, giveWay, nowMs } = this.#waiting;
    for (let lookedMs = begunMs; lookedMs - begunMs < BUSY_POLL_MS; ) {
      const count = epoll.wait(0);
      const now = nowMs();
      if (now - lookedMs > BUSY_POLL_LOST_MS) {
        this.#restUntilMs = now + BUSY_POLL_REST_MS;
        return count;
      }
      if (count > 0) return count;
      lookedMs = now;
      giveWay();
    }
    return 0;
  }

  #weighLoad(now: number): void {
    const spanMs = now - this.#loadSinceMs;
    if (spanMs < 1) return;
    if (this.#load > BUSY_POLL_LOAD_PER_MS * spanMs) this.#restUntilMs = now + BUSY_POLL_REST_MS;
    this.#load = 0;
    this.#loadSinceMs = now;
  }
}

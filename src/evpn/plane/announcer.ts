import type { Logger } from '../../observe/log.ts';
import type { Change, OwnRoutes } from '../routes/own-routes.ts';
import { RefusedBySpeaker, type Speaker, SpeakerLost } from '../speaker.ts';

/** Requests in flight. The speaker handles one after the other, so more would only wait there. */
const MAX_REQUESTS = 64;

/** Brings the routes that the speaker has from us in step with those that it is to have. */
export class Announcer {
  readonly #own: OwnRoutes;
  readonly #log: Logger;
  #speaker: Speaker | undefined;
  #requests = 0;

  constructor(own: OwnRoutes, log: Logger) {
    this.#own = own;
    this.#log = log;
  }

  /** Changes are sent to this speaker from now on. undefined: they wait. */
  use(speaker: Speaker | undefined): void {
    this.#speaker = speaker;
    this.#requests = 0;
    this.send();
  }

  /** Own routes may have changed. */
  send(): void {
    const speaker = this.#speaker;
    if (!speaker) return;
    while (this.#requests < MAX_REQUESTS) {
      const changes = this.#own.take(MAX_REQUESTS - this.#requests);
      if (changes.length === 0) return;
      for (const change of changes) {
        this.#requests++;
        void this.#request(speaker, change);
      }
    }
  }

  async #request(speaker: Speaker, change: Change): Promise<void> {
    const { kind, route } = change;
    try {
      await (kind === 'add' ? speaker.add(route) : speaker.remove(route));
      if (speaker === this.#speaker) this.#own.done(change);
    } catch (error) {
      // After a loss all routes are announced again.
      if (error instanceof SpeakerLost) return;
      if (!(error instanceof RefusedBySpeaker)) throw error;
      if (speaker === this.#speaker) {
        this.#own.refused(change, error.message, performance.now());
        this.#log.warn(
          { event: 'evpn-refused', type: route.type, reason: error.message },
          'the speaker refuses a route',
        );
      }
    }
    if (speaker !== this.#speaker) return;
    this.#requests--;
    this.send();
  }
}

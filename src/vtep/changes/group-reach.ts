import type { Logger } from '../../observe/log.ts';

/** Time between two looks: a member that is heard in the group gets each flood twice for so long at most. */
const LOOK_MS = 1_000;

/**
 * Has the flood lists follow who is heard in the groups of VNIs, once a second while groups reach members of a list. Otherwise this costs nothing.
 */
export class GroupReach {
  readonly #follow: () => Promise<boolean>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;

  /** @param follow changes the flood lists; resolves to whether it must be called again */
  constructor(follow: () => Promise<boolean>, log: Logger) {
    this.#follow = follow;
    this.#log = log;
  }

  /** A member of a list was heard in a group. */
  heard(): void {
    this.#timer ??= setTimeout(() => void this.#look(), LOOK_MS).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    let isAgain = true;
    try {
      isAgain = await this.#follow();
    } catch (err) {
      // The lock of the table of remotes is not available.
      this.#log.error({ event: 'groups-not-followed', err });
    }
    this.#timer = undefined;
    if (isAgain) this.heard();
  }
}

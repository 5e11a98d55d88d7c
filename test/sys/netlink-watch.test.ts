import { execFileSync } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { linkEvents } from '../../src/sys/netlink/links.ts';
import type { NetlinkMessage } from '../../src/sys/netlink/netlink-message.ts';
import { EVENT_GROUPS, NetlinkWatch } from '../../src/sys/netlink/netlink-watch.ts';
import { ERRNO, SysError } from '../../src/sys/sys-error.ts';
import { createNamespace, deleteNamespace, inNamespace } from '../support/host/namespaces.ts';
import { waitFor } from '../support/wait.ts';

/** More events than any receive buffer holds: some 2 KB each, and 16 MB of it. */
const OVERFLOWING_CHANGES = 12_000;

/** In a namespace of their own, a watch of its links and what it told. */
class Watched {
  readonly namespace = createNamespace('watch');
  readonly calls: (readonly NetlinkMessage[])[] = [];
  readonly failures: string[] = [];
  /** Thrown by the listener as long as it is set. */
  refusal: Error | undefined;
  wells = 0;
  readonly #watch = new NetlinkWatch(EVENT_GROUPS.link, {
    onEvents: (messages) => {
      this.calls.push(messages);
      if (this.refusal) throw this.refusal;
    },
    onFailing: ({ message }) => this.failures.push(message),
    onWell: () => this.wells++,
  });

  start(): void {
    inNamespace(this.namespace, () => this.#watch.start());
  }

  /** How often everything was to be looked up anew. */
  get looks(): number {
    return this.calls.filter(({ length }) => length === 0).length;
  }

  get mtus(): number[] {
    return this.calls.flatMap((messages) => linkEvents(messages).map(({ link }) => link.mtuBytes));
  }

  /** Nothing of this process runs meanwhile. */
  setMtus(mtus: readonly number[]): void {
    const input = mtus.map((mtu) => `link set lo mtu ${mtu}\n`).join('');
    execFileSync('ip', ['-n', this.namespace, '-batch', '-'], { input });
  }

  close(): void {
    this.#watch.stop();
    deleteNamespace(this.namespace);
  }
}

let watched: Watched;

function watch(): Watched {
  watched = new Watched();
  return watched;
}

afterEach(() => watched.close());

const overflowing = Array.from({ length: OVERFLOWING_CHANGES }, (_, i) => 1_500 + (i % 2));

describe('NetlinkWatch', () => {
  it('asks for a look at its start, and hands over what was waiting in one call, in order', async () => {
    watch().start();
    expect(watched.looks).toBe(1);
    const mtus = Array.from({ length: 200 }, (_, i) => 1_300 + i);
    watched.setMtus(mtus);
    await waitFor(
      'all events',
      () => watched.mtus,
      ({ length }) => length >= mtus.length,
    );
    expect(watched.mtus).toEqual(mtus);
    expect(watched.calls).toHaveLength(2);
    expect(watched.failures).toEqual([]);
  });

  it('asks for a look when events were lost, and goes on hearing, however often that happens', async () => {
    watch().start();
    for (const time of [1, 2]) {
      const [looks, events] = [watched.looks, watched.mtus.length];
      watched.setMtus(overflowing);
      await waitFor(
        'a look',
        () => watched.looks,
        (count) => count > looks,
      );
      expect(watched.mtus.length - events, 'some were lost').toBeLessThan(OVERFLOWING_CHANGES);
      watched.setMtus([1_400 + time]);
      await waitFor(
        'the next event',
        () => watched.mtus.at(-1),
        (mtu) => mtu === 1_400 + time,
      );
    }
    expect(watched.failures).toEqual([]);
  });

  it('asks again until its listener succeeds, and tells of the failure once', async () => {
    watch().start();
    watched.refusal = new SysError('list of links', ERRNO.EBUSY);
    watched.setMtus([1_400]);
    await waitFor(
      'three tries',
      () => watched.looks,
      (looks) => looks >= 4,
    );
    expect(watched.failures).toEqual(['list of links: EBUSY (resource busy or locked)']);
    expect(watched.wells).toBe(0);
    watched.refusal = undefined;
    await waitFor(
      'success',
      () => watched.wells,
      (wells) => wells === 1,
    );
    expect(watched.failures).toHaveLength(1);
  });

  it('starts although the first look fails', async () => {
    watch().refusal = new SysError('list of links', ERRNO.ENOMEM);
    watched.start();
    watched.refusal = undefined;
    await waitFor(
      'success',
      () => watched.wells,
      (wells) => wells === 1,
    );
  });

  it('says no more once it was stopped, also where a look is due', async () => {
    watch().refusal = new SysError('list of links', ERRNO.EBUSY);
    watched.start();
    watched.close();
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(watched.calls).toHaveLength(1);
  });
});

/** Listings of the forwarding table: how many at once, who waits, and who is cut. */
import { request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LISTING_PATIENCE_MS, LISTING_SHARE_MS, MAX_LISTINGS } from '../../../lib/limits.ts';
import { unknownVni } from '../../unknown-vni.ts';
import { askServer, openServer, type ServerRig } from '../server-rig.ts';
import { Listings } from './listings.ts';

describe('listings', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function fill() {
    const listings = new Listings('/v1/fdb', () => Date.now());
    const cuts = Array.from({ length: MAX_LISTINGS }, () => vi.fn());
    return { listings, cuts, under: Promise.all(cuts.map((cut) => listings.begin(cut))) };
  }

  it('begin at once while there is room', async () => {
    const { under } = fill();
    expect(await under).toHaveLength(MAX_LISTINGS);
  });

  it('wait their turn in order', async () => {
    const { listings, under } = fill();
    const [end] = await under;
    const order: number[] = [];
    void listings
      .begin(() => {})
      .then((endSecond) => {
        order.push(1);
        endSecond();
      });
    const third = listings.begin(() => {}).then(() => order.push(2));
    await vi.advanceTimersByTimeAsync(100);
    expect(order).toEqual([]);
    end?.();
    await third;
    expect(order).toEqual([1, 2]);
  });

  it('are refused when they have waited long enough, and leave no trace', async () => {
    const { listings, under } = fill();
    const [end] = await under;
    const refused = expect(listings.begin(() => {})).rejects.toThrow(
      `GET /v1/fdb: ${MAX_LISTINGS} such listings are being sent already: ask again later, or end one of them`,
    );
    await vi.advanceTimersByTimeAsync(LISTING_PATIENCE_MS);
    await refused;
    end?.();
    await listings.begin(() => {});
  });

  it('are cut when they have had their time and another waits, the oldest first; not before', async () => {
    const { listings, cuts } = fill();
    await vi.advanceTimersByTimeAsync(LISTING_SHARE_MS - 1_000);
    const waiting = listings.begin(() => {}).catch(() => {});
    await vi.advanceTimersByTimeAsync(500);
    expect(cuts[0]).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(cuts[0]).toHaveBeenCalled();
    expect(cuts[1]).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(LISTING_PATIENCE_MS);
    await waiting;
  });

  it('take their time while nobody waits', async () => {
    const { cuts } = fill();
    await vi.advanceTimersByTimeAsync(10 * LISTING_SHARE_MS);
    for (const cut of cuts) expect(cut).not.toHaveBeenCalled();
  });

  it('count an end once', async () => {
    const { listings, under } = fill();
    const [end] = await under;
    end?.();
    end?.();
    await listings.begin(() => {});
    const next = vi.fn();
    void listings.begin(() => {}).then(next, () => {});
    await vi.advanceTimersByTimeAsync(100);
    expect(next).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(LISTING_PATIENCE_MS);
  });
});

describe('GET /v1/fdb', () => {
  let rig: ServerRig;
  beforeEach(async () => {
    rig = await openServer();
  });
  afterEach(() => rig.close());

  /** A client that takes the head of the answer and no more. */
  function stalled(path: string) {
    const sent = request({ socketPath: rig.path, path, agent: false });
    const answered = new Promise<void>((resolve) => {
      sent.once('response', (response) => {
        response.pause();
        resolve();
      });
    });
    sent.on('error', () => {});
    sent.end();
    return { answered, leave: () => sent.destroy() };
  }

  it('is there again when a client that did not read has gone', async () => {
    // More than the kernel and the server keep of an answer: the listing is not made to its end.
    rig.daemon.fdbEntries = async function* () {
      for (let i = 0; i < 200; i++) yield [{ vni: 100, mac: 'x'.repeat(100_000) }] as never;
    };
    const clients = Array.from({ length: MAX_LISTINGS }, () => stalled('/v1/fdb'));
    await Promise.all(clients.map(({ answered }) => answered));
    const asked = askServer(rig.path, 'GET', '/v1/fdb?vni=100');
    clients[0]?.leave();
    expect((await asked).status).toBe(200);
    for (const { leave } of clients) leave();
  });

  it('takes no place from the VTEPs, which have as many, in slices, and one that is asked for needs none', async () => {
    rig.daemon.vteps = async function* (only) {
      const slices = only === undefined ? 200 : 1;
      for (let i = 0; i < slices; i++) yield [{ vtep: only ?? i, text: 'x'.repeat(100_000) }] as never;
    };
    const whole = await askServer(rig.path, 'GET', '/v1/vteps');
    expect((whole.body as { vtep: number }[]).map(({ vtep }) => vtep)).toEqual(
      Array.from({ length: 200 }, (_, i) => i),
    );
    const clients = Array.from({ length: MAX_LISTINGS }, () => stalled('/v1/vteps'));
    await Promise.all(clients.map(({ answered }) => answered));
    expect((await askServer(rig.path, 'GET', '/v1/fdb')).status).toBe(200);
    expect(await askServer(rig.path, 'GET', '/v1/vteps?vtep=198.18.0.2')).toMatchObject({ body: { length: 1 } });
    const asked = askServer(rig.path, 'GET', '/v1/vteps');
    clients[0]?.leave();
    expect((await asked).status).toBe(200);
    for (const { leave } of clients) leave();
  });

  it('keeps no place for a question that is refused', async () => {
    rig.daemon.fdbEntries = () => {
      throw unknownVni(77);
    };
    for (let i = 0; i <= MAX_LISTINGS; i++) {
      expect((await askServer(rig.path, 'GET', '/v1/fdb?vni=77')).status).toBe(404);
    }
  });
});

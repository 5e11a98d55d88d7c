import { describe, expect, it } from 'vitest';
import { RX_DROP, RX_REASONS, TX_DROP, TX_REASONS } from '../forward/drop-reason.ts';
import { DropHistory } from './drop-history.ts';
import type { Vni } from './vni/vni.ts';

const vni = (number: number) =>
  ({ config: { vni: number, tap: `vxlan${number}`, vlan: undefined }, underlays: [] }) as unknown as Vni;

function newHistory() {
  const rows = new Map<Vni | undefined, Float64Array>();
  let nowMs = 0;
  const read = async () => new Map([...rows].map(([key, row]) => [key, row.slice()]));
  const history = new DropHistory(read, () => nowMs);
  return {
    rows,
    drop: (of: Vni | undefined, reason: number, count: number) => {
      const row = rows.get(of) ?? new Float64Array(RX_REASONS.length + TX_REASONS.length + 2);
      row[reason] = (row[reason] as number) + count;
      rows.set(of, row);
    },
    /** As often as the daemon takes them. */
    pass: async () => {
      nowMs += 30_000;
      await history.take();
    },
    names: async () =>
      (await history.recent()).drops.map(({ direction, reason, count }) => `${count} ${direction} ${reason}`),
    history,
  };
}

const tx = (reason: number) => RX_REASONS.length + 1 + reason;

describe('what is dropped now', () => {
  it('is what was since the start in the first minute, and by its VNI', async () => {
    const { drop, history } = newHistory();
    const [one, other] = [vni(100), vni(200)];
    drop(one, tx(TX_DROP['inner-vlan']), 2);
    drop(other, tx(TX_DROP['inner-vlan']), 5);
    drop(undefined, RX_DROP['unknown-vni'], 1);
    drop(undefined, RX_REASONS.length, 4);
    const { drops, seconds } = await history.recent();
    expect(seconds).toBe(1);
    expect(drops).toEqual([
      expect.objectContaining({ direction: 'tx', reason: 'inner-vlan', count: 7 }),
      expect.objectContaining({ direction: 'rx', reason: 'unknown-vni', count: 1, vnis: [] }),
      expect.objectContaining({ direction: 'rx', reason: 'socket-overrun', count: 4 }),
    ]);
    expect(drops[0]?.vnis.map(({ vni: number }) => number)).toEqual([200, 100]);
  });

  it('says with each VNI where its TAP is, and what keeps it from sending', async () => {
    const { drop, history } = newHistory();
    const place = { elsewhere: { namespace: 'c1', link: { name: 'eth0', up: true } } };
    const troubles = [{}, { sourceTrouble: '198.18.0.100 is not on this host', interfaceTrouble: 'eth0 is down' }];
    drop(Object.assign(vni(100), place, { underlays: troubles }) as unknown as Vni, tx(TX_DROP['send-error']), 1);
    const { drops } = await history.recent();
    expect(drops[0]?.vnis[0]).toMatchObject({
      ...{ tapNow: { name: 'eth0', up: true }, elsewhere: { namespace: 'c1' } },
      underlayTrouble: '198.18.0.100 is not on this host',
    });
  });

  it('is no more a minute after it ended, and is while it goes on', async () => {
    const { drop, pass, names } = newHistory();
    const one = vni(100);
    drop(one, RX_DROP['tap-down'], 9);
    await pass();
    expect(await names()).toEqual(['9 rx tap-down']);
    drop(one, RX_DROP['tap-down'], 2);
    await pass();
    expect(await names()).toEqual(['2 rx tap-down']);
    await pass();
    expect(await names()).toEqual([]);
    drop(one, RX_DROP['tap-down'], 1);
    expect(await names()).toEqual(['1 rx tap-down']);
  });

  it('of a VNI that came in another’s place is all that it has', async () => {
    const { rows, drop, pass, names } = newHistory();
    const gone = vni(100);
    drop(gone, RX_DROP.storm, 50);
    await pass();
    await pass();
    rows.delete(gone);
    drop(vni(100), RX_DROP.storm, 3);
    expect(await names()).toEqual(['3 rx storm']);
  });
});

/** What the view lets be changed of the forwarding table. The FDB is real; of the VTEP there is what this asks of it. */
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { FdbEntry } from '../api/schemas.ts';
import { Fdb } from '../fdb/fdb.ts';
import { createFdbMemory } from '../fdb/layout.ts';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import type { Vni } from '../vtep/vni/vni.ts';
import { Vnis } from '../vtep/vni/vnis.ts';
import { sourceOf } from '../vtep/vni/vtep-address.ts';
import { VtepView } from './view.ts';
import type { ViewedParts } from './viewed-parts.ts';

const VNI = 100;
const NOW = 5_000;
const HIGH = 0x0200_0000;
const PEER = sourceOf('198.18.0.2' as IpAddress);

const mac = (low: number) => `02:00:00:00:00:0${low}` as MacAddress;

/** MAC 1 is learned, 2 static, and a control plane placed 3. */
function newView() {
  const fdb = new Fdb(createFdbMemory(1, 300), 1);
  fdb.learn(0, HIGH, 1, PEER, 10, NOW);
  fdb.addStatic(0, HIGH, 2, PEER, NOW);
  fdb.placeAll(0, [{ high: HIGH, low: 3, at: PEER, isSticky: false }], NOW);
  const vnis = new Vnis();
  vnis.add((index) => ({ config: { vni: VNI }, index }) as unknown as Vni);
  const parts = { vnis, tables: { fdb, now: () => NOW }, events: { tell: () => {} } } as unknown as ViewedParts;
  const view = new VtepView(parts, {
    ...{ version: '0', reload: { run: async () => [] }, log: pino({ level: 'silent' }) },
    ...{ lostLogLines: () => 0, servers: { open: [] } },
  });
  const show = async (filter: Parameters<VtepView['fdbEntries']>[0] = {}) => {
    const entries: FdbEntry[] = [];
    for await (const slice of view.fdbEntries(filter)) entries.push(...slice);
    return entries.map(({ type }) => type);
  };
  return { view, show };
}

it('shows entries of each type, and those of one', async () => {
  const { show } = newView();
  expect(await show()).toEqual(['dynamic', 'static', 'evpn']);
  for (const type of ['dynamic', 'static', 'evpn'] as const) expect(await show({ type })).toEqual([type]);
});

it('without EVPN says so, at once', () => {
  const { view } = newView();
  const refusal = {
    code: 'ERR_VTEP_NOT_FOUND',
    message: expect.stringMatching(/^evpn: this vtepd runs without BGP EVPN/),
  };
  expect(() => view.evpn()).toThrow(expect.objectContaining(refusal));
  expect(() => view.evpnRoutes({})).toThrow(expect.objectContaining(refusal));
});

describe('an entry of a control plane', () => {
  it('is not deleted: the refusal says why and what helps', async () => {
    const { view, show } = newView();
    const conflict = { code: 'ERR_VTEP_CONFLICT' };
    expect(() => view.deleteEntry({ vni: VNI, mac: mac(3) })).toThrow(expect.objectContaining(conflict));
    expect(() => view.deleteEntry({ vni: VNI, mac: mac(3) })).toThrow(
      /^02:00:00:00:00:03 in VNI 100: a control plane placed this entry: add a static entry, which takes precedence$/,
    );
    view.deleteEntry({ vni: VNI, mac: mac(1) });
    view.deleteEntry({ vni: VNI, mac: mac(2) });
    expect(() => view.deleteEntry({ vni: VNI, mac: mac(1) })).toThrow('there is no such entry');
    expect(await show()).toEqual(['evpn']);
  });

  it.each([
    [false, 1, ['static', 'evpn']],
    [true, 2, ['evpn']],
  ])('is not flushed, with --all %s: %i go', async (all, removed, left) => {
    const { view, show } = newView();
    expect(await view.flush({ all, vni: VNI })).toBe(removed);
    expect(await view.flush({ all, vtep: '198.18.0.2' as IpAddress })).toBe(0);
    expect(await show()).toEqual(left);
  });
});

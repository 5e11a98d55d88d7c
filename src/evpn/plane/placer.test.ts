import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { Batch, Forwarding } from '../../control/control-plane.ts';
import { parseMac } from '../../lib/addresses.ts';
import { VtepError } from '../../lib/errors.ts';
import { RemoteRoutes } from '../routes/remote-routes.ts';
import { macRoute } from '../routes-rig.ts';
import { Placer } from './placer.ts';

const NOTHING_REFUSED = { floods: [], macs: [], neighbours: [] };

/** A host that can refuse all changes, and records the others. */
function newHost() {
  const remote = new RemoteRoutes();
  remote.segmentUpdated({ vni: 100, config: { control: 'evpn', targets: [] }, local: [] });
  const said: Batch[] = [];
  const host = { isBusy: false, tries: 0 };
  const forwarding: Forwarding = {
    origin: 'evpn',
    say: async (_vni, batch) => {
      host.tries++;
      if (host.isBusy) throw new VtepError('ERR_VTEP_BUSY', { object: 'worker', cause: 'it hangs' });
      said.push(batch);
      return NOTHING_REFUSED;
    },
    withdrawAll: async () => {},
  };
  const placer = new Placer(remote, pino({ level: 'silent' }));
  placer.use(forwarding);
  const place = async () => {
    placer.place();
    await sleep(20);
  };
  return { remote, said, host, place };
}

it('says a batch again that the host refused as a whole, once for each call', async () => {
  const { remote, said, host, place } = newHost();
  const [kept, gone] = [
    macRoute(),
    macRoute({ mac: parseMac('02:00:00:00:00:99') as ReturnType<typeof macRoute>['mac'] }),
  ];
  for (const route of [kept, gone]) remote.received({ route, isLocal: false, isWithdrawn: false });
  await place();
  expect(said).toHaveLength(1);
  host.isBusy = true;
  remote.received({ route: gone, isLocal: false, isWithdrawn: true });
  await place();
  await place();
  expect(host.tries).toBe(3);
  host.isBusy = false;
  await place();
  // The withdrawal, and what is in force, of which it is not known whether it still is.
  expect(said[1]?.macs?.withdrawn).toEqual([gone.mac]);
  expect(said[1]?.macs?.placed?.map(({ mac }) => mac)).toEqual([kept.mac]);
  await place();
  expect(said).toHaveLength(2);
});

/**
 * Loaded into the daemon by `--import`: attaches a control plane to the running VTEP that the test speaks to over the socket CONTROL_PLANE. A line
 * `{"say": [VNI, BATCH]}` is answered by what was refused, `{"withdraw": true}` by null, `{"heard": true}` by what the control plane was told.
 */
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { isMainThread } from 'node:worker_threads';
import { Vtep } from '../../../dist/vtep/vtep.js';

if (isMainThread) {
  const start = Vtep.start;
  Vtep.start = async (...options) => {
    const vtep = await start.apply(Vtep, options);
    const segments = new Map();
    const here = new Map();
    const heard = new Map();
    // MACs of each VNI that were here since its full state began.
    const seen = new Map();
    const forwarding = vtep.control.attach({
      origin: 'evpn',
      segmentUpdated: ({ vni, local }) => {
        segments.set(vni, local);
        return undefined;
      },
      segmentRemoved: (vni) => {
        segments.delete(vni);
        here.delete(vni);
      },
      stationsChanged: ({ vni, isWhole, endsWhole, here: macs, gone, neighbours }) => {
        const known = here.get(vni) ?? new Map();
        if (isWhole) seen.set(vni, new Set());
        for (const { mac, origin } of macs) {
          known.set(mac, origin);
          seen.get(vni)?.add(mac);
        }
        for (const mac of gone) known.delete(mac);
        if (endsWhole) for (const mac of known.keys()) if (!seen.get(vni)?.has(mac)) known.delete(mac);
        here.set(vni, known);
        const addresses = heard.get(vni) ?? new Map();
        for (const { ip, mac } of neighbours) addresses.set(ip, mac);
        heard.set(vni, addresses);
      },
    });
    const answer = async ({ say, withdraw }) => {
      if (say) return forwarding.say(...say);
      if (withdraw) return (await forwarding.withdrawAll()) ?? null;
      const rows = (byVni) => [...byVni].map(([vni, of]) => [vni, [...of]]);
      return { segments: [...segments], here: rows(here), neighbours: rows(heard) };
    };
    const server = createServer((client) => {
      client.on('error', () => {});
      createInterface({ input: client }).on('line', async (line) => {
        client.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
      });
    });
    server.listen(process.env.CONTROL_PLANE);
    server.unref();
    return vtep;
  };
}

/** Announces or withdraws many EVPN routes by the API of a gobgpd, for `scale-evpn.mjs`. Prints `{ "seconds": N }`. */

import { connectGobgp } from '../dist/evpn/gobgp/connect-gobgp.js';
import { NO_ESI } from '../dist/evpn/route.js';

const REQUESTS = 64;
const MACS_PER_VTEP = 1_000;

const { kind, verb, count, vni, asn, port } = JSON.parse(process.argv[2]);
const speaker = await connectGobgp({ kind: 'tcp', host: '127.0.0.1', port });
const begin = performance.now();
let next = 0;
await Promise.all(
  Array.from({ length: REQUESTS }, async () => {
    while (next < count) {
      const route = kind === 'floods' ? floodRoute(next++) : macRoute(next++);
      await (verb === 'announced' ? speaker.add(route) : speaker.remove(route));
    }
  }),
);
console.log(JSON.stringify({ seconds: (performance.now() - begin) / 1000 }));
speaker.close();

/** Each VTEP has a route distinguisher of its own, as in a real fabric. */
function common(vtep) {
  const admin = (198 << 24) + (19 << 16) + vtep;
  const nextHop = `198.19.${vtep >> 8}.${vtep & 0xff}`;
  const targets = [{ form: 'as2', admin: asn, value: vni }];
  return { rd: { form: 'ipv4', admin: admin >>> 0, value: vni }, ethernetTag: 0, nextHop, targets, tunnels: [8] };
}

function floodRoute(number) {
  const base = common(number + 1);
  return { ...base, type: 3, originator: base.nextHop, pmsi: { tunnel: 6, label: vni, endpoint: base.nextHop } };
}

function macRoute(number) {
  const digits = (0x0200_0000_0000 + number).toString(16).padStart(12, '0');
  const mac = digits.match(/../g).join(':');
  const base = common(Math.floor(number / MACS_PER_VTEP) + 1);
  return { ...base, type: 2, esi: NO_ESI, mac, ip: undefined, label: vni, sequence: 0, isSticky: false };
}

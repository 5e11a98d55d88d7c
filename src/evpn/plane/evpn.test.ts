import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../config/parse.ts';
import { MemoryVtep } from '../../control/memory-vtep.ts';
import { type IpAddress, type MacAddress, parseIp, parseMac } from '../../lib/addresses.ts';
import { MemoryBgp, type MemoryHost } from '../memory-bgp.ts';
import { Evpn } from './evpn.ts';

const VNI = 100;
const log = pino({ level: 'silent' });
const [MAC, IP] = [parseMac('02:00:00:00:00:01') as MacAddress, parseIp('192.0.2.1') as IpAddress];

interface Host {
  readonly vtep: MemoryVtep;
  readonly speaker: MemoryHost;
  readonly evpn: Evpn;
  readonly address: IpAddress;
}

const started: Evpn[] = [];
afterEach(async () => {
  for (const evpn of started.splice(0)) await evpn.stop(100);
});

function addHost(bgp: MemoryBgp, number: number, { holdSeconds = 60 } = {}): Host {
  const address = parseIp(`198.18.0.${number}`) as IpAddress;
  const speaker = bgp.host(address);
  const host = { address, speaker, ...startEvpn(speaker, address, { holdSeconds }) };
  return host;
}

function startEvpn(speaker: MemoryHost, address: IpAddress, { holdSeconds = 60 } = {}): Pick<Host, 'vtep' | 'evpn'> {
  const vtep = new MemoryVtep();
  vtep.setOwn(address, true);
  const { vnis } = parseConfig({
    ...{ vni: [`${VNI}`], local: [address], allowVtep: [], switches: [], check: false },
    scalars: { evpn: '127.0.0.1:50051' },
  });
  for (const config of vnis) vtep.addSegment(config);
  const evpn = new Evpn({
    ...{ address: { kind: 'tcp', host: '127.0.0.1', port: 50_051 }, connect: speaker.connect },
    ...{ holdSeconds, log, endOfRibMs: 50, numbers: { stored: {}, store: () => {} } },
  });
  started.push(evpn);
  evpn.start(vtep);
  return { vtep, evpn };
}

/** Waits until nothing changes any more. */
async function settle(...hosts: readonly Host[]): Promise<void> {
  let before = '';
  for (let same = 0; same < 3; ) {
    await sleep(10);
    const now = JSON.stringify(hosts.map(({ evpn, speaker }) => [evpn.status().pending, speaker.announced]));
    same = now === before ? same + 1 : 0;
    before = now;
  }
}

/** Text of the type 2 routes that the speaker has from the host. */
function macsOf({ speaker }: Host): string[] {
  return speaker.announced
    .flatMap((route) => (route.type === 2 ? [`${route.mac} ${route.ip ?? '-'} ${route.sequence}`] : []))
    .toSorted();
}

describe('the control plane EVPN, between hosts in memory', () => {
  test('each segment is announced, and the others flood to it', async () => {
    const bgp = new MemoryBgp();
    const [one, two, three] = [addHost(bgp, 1), addHost(bgp, 2), addHost(bgp, 3)];
    await settle(one, two, three);
    expect(one.vtep.floodedTo(VNI).toSorted()).toEqual([two.address, three.address]);
    expect(three.vtep.floodedTo(VNI).toSorted()).toEqual([one.address, two.address]);
    expect(one.evpn.status()).toMatchObject({
      session: { state: 'up', asn: 65_000, connections: 1 },
      routesIn: { type2: 0, type3: 2 },
      routesOut: { type2: 0, type3: 1 },
      vnis: [{ vni: VNI, rd: '198.18.0.1:100', exportTargets: ['65000:100'], isAnnounced: true }],
    });
  });

  test('a MAC and its address are announced, placed elsewhere, and withdrawn', async () => {
    const bgp = new MemoryBgp();
    const [one, two] = [addHost(bgp, 1), addHost(bgp, 2)];
    await settle(one, two);
    one.vtep.learn(VNI, MAC, 'local');
    one.vtep.hear(VNI, IP, MAC);
    await settle(one, two);
    expect(two.vtep.entryOf(VNI, MAC)).toEqual({ vtep: one.address, origin: 'evpn' });
    expect(two.vtep.neighbourOf(VNI, IP)).toBe(MAC);
    expect(macsOf(one)).toEqual([`${MAC} - 0`, `${MAC} ${IP} 0`]);
    one.vtep.elapse(301);
    await settle(one, two);
    expect(macsOf(one)).toEqual([]);
    expect(two.vtep.entryOf(VNI, MAC)).toBeUndefined();
    expect(two.vtep.neighbourOf(VNI, IP)).toBeUndefined();
  });

  test('a MAC that moves is announced by its new host only, with a higher sequence number', async () => {
    const bgp = new MemoryBgp();
    const hosts = [addHost(bgp, 1), addHost(bgp, 2), addHost(bgp, 3)] as const;
    await settle(...hosts);
    hosts[0].vtep.learn(VNI, MAC, 'local');
    await settle(...hosts);
    for (const [sequence, number] of [1, 0, 2, 0].entries()) {
      const here = hosts[number] as Host;
      here.vtep.learn(VNI, MAC, 'local');
      await settle(...hosts);
      for (const host of hosts) {
        const place = host === here ? { vtep: 'local', origin: 'learned' } : { vtep: here.address, origin: 'evpn' };
        expect(host.vtep.entryOf(VNI, MAC)).toEqual(place);
        expect(macsOf(host)).toEqual(host === here ? [`${MAC} - ${sequence + 1}`] : []);
      }
    }
  });

  test('a late route of another VTEP does not take a MAC that is here', async () => {
    const bgp = new MemoryBgp();
    const [one, two, three] = [addHost(bgp, 1), addHost(bgp, 2), addHost(bgp, 3)];
    one.vtep.learn(VNI, MAC, 'local');
    await settle(one, two, three);
    two.vtep.learn(VNI, MAC, 'local');
    await settle(one, two, three);
    const [stale] = two.speaker.announced.filter(({ type }) => type === 2);
    if (stale?.type !== 2) throw new Error('no route');
    three.speaker.announce({ ...stale, nextHop: three.address, sequence: 0, rd: { ...stale.rd, value: 7 } });
    await settle(one, two, three);
    expect(two.vtep.entryOf(VNI, MAC)).toEqual({ vtep: 'local', origin: 'learned' });
    expect(one.vtep.entryOf(VNI, MAC)).toEqual({ vtep: two.address, origin: 'evpn' });
  });

  test('a static MAC here is sticky', async () => {
    const bgp = new MemoryBgp();
    const [one, two] = [addHost(bgp, 1), addHost(bgp, 2)];
    one.vtep.addStatic(VNI, MAC, 'local');
    await settle(one, two);
    expect(one.speaker.announced).toContainEqual(expect.objectContaining({ type: 2, mac: MAC, isSticky: true }));
    two.vtep.learn(VNI, MAC, 'local');
    await settle(one, two);
    expect(two.vtep.entryOf(VNI, MAC)).toEqual({ vtep: one.address, origin: 'evpn' });
    expect(macsOf(two)).toEqual([]);
  });
});

test('after any sequence of moves and failures, each MAC is where it was heard last', { timeout: 60_000 }, async () => {
  const macs = [1, 2, 3, 4, 5].map((number) => parseMac(`02:00:00:00:01:0${number}`) as MacAddress);
  const host = fc.nat({ max: 2 });
  const mac = fc.nat({ max: macs.length - 1 });
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('hear' as const), host, mac }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('age' as const), host, mac }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('disconnect' as const, 'restart' as const), host, mac }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const), host, mac }) },
  );
  await fc.assert(
    // More moves of one MAC would be a duplicate (RFC 7432 §15.1).
    fc.asyncProperty(
      fc.array(step, { maxLength: 12 }),
      fc.array(host, { minLength: 5, maxLength: 5 }),
      async (steps, last) => {
        const bgp = new MemoryBgp();
        const hosts = [addHost(bgp, 1), addHost(bgp, 2), addHost(bgp, 3)];
        const at = (number: number) => hosts[number] as Host;
        const moves = new Map<number, number>();
        for (const { kind, host: number, mac: index } of steps) {
          const { vtep, speaker } = at(number);
          if (kind === 'settle') await settle(...hosts);
          else if (kind === 'age') vtep.elapse(301);
          else if (kind === 'disconnect') speaker.disconnect();
          else if (kind === 'restart') {
            speaker.kill();
            speaker.start();
          } else if ((moves.get(index) ?? 0) < 3) {
            moves.set(index, (moves.get(index) ?? 0) + 1);
            vtep.learn(VNI, macs[index] as MacAddress, 'local');
          }
        }
        await sleep(300);
        await settle(...hosts);
        for (const [index, number] of last.entries()) at(number).vtep.learn(VNI, macs[index] as MacAddress, 'local');
        await settle(...hosts);
        for (const [index, number] of last.entries()) {
          const [address, where] = [macs[index] as MacAddress, at(number)];
          for (const each of hosts) {
            const place =
              each === where ? { vtep: 'local', origin: 'learned' } : { vtep: where.address, origin: 'evpn' };
            expect(each.vtep.entryOf(VNI, address)).toEqual(place);
            const routes = each.speaker.announced.filter((route) => route.type === 2 && route.mac === address);
            expect(routes).toHaveLength(each === where ? 1 : 0);
          }
        }
        for (const { evpn } of hosts) await evpn.stop(100);
      },
    ),
    { numRuns: 12 },
  );
});

describe('the control plane EVPN without its speaker', () => {
  test('what was received stays for the hold time, and then goes', async () => {
    const bgp = new MemoryBgp();
    const [one, two] = [addHost(bgp, 1, { holdSeconds: 0.5 }), addHost(bgp, 2)];
    two.vtep.learn(VNI, MAC, 'local');
    await settle(one, two);
    one.speaker.kill();
    await sleep(100);
    expect(one.evpn.status().session).toMatchObject({ state: 'stale', dialect: undefined });
    expect(one.vtep.entryOf(VNI, MAC)).toEqual({ vtep: two.address, origin: 'evpn' });
    await sleep(600);
    expect(one.evpn.status().session).toMatchObject({ state: 'connecting', error: 'connection refused' });
    expect(one.vtep.entryOf(VNI, MAC)).toBeUndefined();
    expect(one.vtep.floodedTo(VNI)).toEqual([]);
  });

  test('a speaker that comes back without routes gets all of them again', async () => {
    const bgp = new MemoryBgp();
    const [one, two, three] = [addHost(bgp, 1), addHost(bgp, 2), addHost(bgp, 3)];
    one.vtep.learn(VNI, MAC, 'local');
    await settle(one, two, three);
    const before = one.speaker.announced;
    one.speaker.kill();
    await settle(one, two, three);
    expect(two.vtep.entryOf(VNI, MAC)).toBeUndefined();
    one.speaker.start();
    await sleep(400);
    await settle(one, two);
    expect(one.speaker.announced).toEqual(expect.arrayContaining([...before]));
    expect(one.speaker.announced).toHaveLength(before.length);
    expect(two.vtep.entryOf(VNI, MAC)).toEqual({ vtep: one.address, origin: 'evpn' });
  });

  test('what was received stays while the speaker has no peer, and changes when a peer is back', async () => {
    const bgp = new MemoryBgp();
    const [one, two] = [addHost(bgp, 1), addHost(bgp, 2)];
    two.vtep.learn(VNI, MAC, 'local');
    await settle(one, two);
    two.speaker.kill();
    two.vtep.elapse(301);
    await settle(one, two);
    expect(one.evpn.status().session).toMatchObject({ state: 'stale', dialect: 'v4' });
    expect(one.vtep.entryOf(VNI, MAC)).toEqual({ vtep: two.address, origin: 'evpn' });
    expect(one.vtep.floodedTo(VNI)).toEqual([two.address]);
    two.speaker.start();
    await sleep(1_500);
    await settle(one, two);
    expect(one.evpn.status().session).toMatchObject({ state: 'up', dialect: 'v4', connections: 1 });
    expect(one.vtep.entryOf(VNI, MAC)).toBeUndefined();
    expect(one.vtep.floodedTo(VNI)).toEqual([two.address]);
  });

  test('what was received goes when the speaker has no peer for the hold time', async () => {
    const bgp = new MemoryBgp();
    const [one, two] = [addHost(bgp, 1, { holdSeconds: 0.5 }), addHost(bgp, 2)];
    two.vtep.learn(VNI, MAC, 'local');
    await settle(one, two);
    two.speaker.kill();
    await sleep(200);
    expect(one.vtep.entryOf(VNI, MAC)).toEqual({ vtep: two.address, origin: 'evpn' });
    await sleep(600);
    await settle(one, two);
    expect(one.vtep.entryOf(VNI, MAC)).toBeUndefined();
    expect(one.vtep.floodedTo(VNI)).toEqual([]);
  });

  test('a route that ends while the connection is lost is removed after it', async () => {
    const bgp = new MemoryBgp();
    const [one, two] = [addHost(bgp, 1), addHost(bgp, 2)];
    two.vtep.learn(VNI, MAC, 'local');
    await settle(one, two);
    one.speaker.disconnect();
    two.vtep.elapse(301);
    await sleep(400);
    await settle(one, two);
    expect(one.evpn.status().session).toMatchObject({ state: 'up', connections: 2 });
    expect(one.vtep.entryOf(VNI, MAC)).toBeUndefined();
    expect(one.vtep.floodedTo(VNI)).toEqual([two.address]);
  });

  test('a stop withdraws the own routes, and no other', async () => {
    const bgp = new MemoryBgp();
    const [one, two] = [addHost(bgp, 1), addHost(bgp, 2)];
    one.vtep.learn(VNI, MAC, 'local');
    await settle(one, two);
    const [own] = one.speaker.announced;
    if (!own) throw new Error('no route');
    const foreign = { ...own, rd: { form: 'as2', admin: 64_512, value: 7 } as const };
    one.speaker.announce(foreign);
    await one.evpn.stop(1_000);
    expect(one.speaker.announced).toEqual([foreign]);
  });

  test('routes that a killed run left are adopted, and those that are not true any more are withdrawn', async () => {
    const bgp = new MemoryBgp();
    const [one, two] = [addHost(bgp, 1), addHost(bgp, 2)];
    one.vtep.learn(VNI, MAC, 'local');
    await settle(one, two);
    const left = one.speaker.announced;
    await one.evpn.stop(0);
    for (const route of left) one.speaker.announce(route);
    const again = { ...one, ...startEvpn(one.speaker, one.address) };
    await settle(again, two);
    expect(one.speaker.announced).toEqual(left.filter(({ type }) => type === 3));
    expect(two.vtep.entryOf(VNI, MAC)).toBeUndefined();
  });
});

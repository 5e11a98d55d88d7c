/**
 * The multicast underlay watched: who asks for the memberships, without whom a switch that snoops stops passing the groups.
 *
 *     vxlan100  vxlan200 ── host 1  198.18.0.1 ───┐
 *     vxlan100  vxlan200 ── host 2  198.18.0.2 ───┼── bridge "under": floods all, or snoops, or is the querier itself
 *                           host 3  198.18.0.3 ───┘
 */
import { afterEach, describe, expect, test } from 'vitest';
import {
  type IgmpParts,
  type MldParts,
  naiveIgmp,
  naiveMld,
  V1_IGMP,
} from '../../../src/wire/queries/naive-queries.ts';
import { runVtepd, startVtepd, type VtepdOptions, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { command } from '../../support/host/namespaces.ts';
import { describeSystem, type Host, useLab } from '../../support/lab/lab.ts';
import { ethernet, ipBytes, readIpv4Frame } from '../../support/traffic/frames.ts';
import { ip6Bytes } from '../../support/traffic/ipv6.ts';
import type { CapturedFrame, PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, sendProbe } from '../../support/traffic/probes.ts';
import { sleep, waitFor } from '../../support/wait.ts';

interface Querier {
  readonly dev: string;
  readonly family: 4 | 6;
  readonly watching: boolean;
  readonly since: number | null;
  readonly querier: string | null;
  readonly lastHeard: number | null;
  readonly own: boolean;
}

const ROUTER_MAC = '02:00:00:00:03:03';
const WITHOUT_RAW = ['setpriv', '--bounding-set', '-net_raw', '--inh-caps', '-net_raw'];

/** What a querier's answers say (RFC 3376 §4.2.12, RFC 3810 §5.2.12): a state, not a change of it. */
const MODE_IS_EXCLUDE = 2;

describeSystem('queriers', () => {
  const lab = useLab({ hosts: 3, ipv6: true });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];

  const BOTH_FAMILIES = ['--vni', '100=239.1.1.1', '--vni', '200=ff05::1:200'];

  const start = (host: Host, vnis: readonly string[], options?: VtepdOptions & { flags?: readonly string[] }) =>
    startVtepd(host, ['--dev', 'eth0', ...vnis, ...(options?.flags ?? [])], options);

  async function queriers(daemon: VtepdProcess): Promise<Querier[]> {
    return (await daemon.get<{ queriers: Querier[] }>('/v1/status')).queriers;
  }

  /** Waits until the querier of a family is as expected. */
  async function shows(daemon: VtepdProcess, family: 4 | 6, expected: Partial<Querier>): Promise<Querier | undefined> {
    const look = async () => (await queriers(daemon)).find((each) => each.family === family);
    const isExpected = (shown: Querier | undefined) =>
      shown !== undefined && Object.entries(expected).every(([key, value]) => shown[key as keyof Querier] === value);
    return waitFor(`IPv${family}: ${JSON.stringify(expected)}`, look, isExpected, { everyMs: 20 });
  }

  const igmpFrame = (parts: IgmpParts) =>
    ethernet({ dst: '01:00:5e:00:00:01', src: ROUTER_MAC, type: 0x0800, payload: Buffer.from(naiveIgmp(parts)) });
  const mldFrame = (parts: MldParts) =>
    ethernet({ dst: '33:33:00:00:00:01', src: ROUTER_MAC, type: 0x86dd, payload: Buffer.from(naiveMld(parts)) });

  const isGeneralIgmpQuery = ({ bytes }: CapturedFrame) => {
    const packet = readIpv4Frame(bytes);
    return packet?.protocol === 2 && packet.payload[0] === 0x11;
  };
  const isMldQuery = ({ bytes }: CapturedFrame) =>
    bytes.readUInt16BE(12) === 0x86dd && bytes[20] === 0 && bytes[54] === 58 && bytes[62] === 130;

  /** The interface's own, in eight words; undefined while it may not be used. */
  function linkLocal(host: Host): string | undefined {
    const words = host.ip('-6', '-o', 'addr', 'show', 'dev', 'eth0', 'scope', 'link');
    return words.includes('tentative') ? undefined : /fe80::[0-9a-f:]+/.exec(words)?.[0];
  }

  async function hasLinkLocal(host: Host): Promise<string> {
    const found = await waitFor(
      'a link-local address',
      () => linkLocal(host),
      (address) => address !== undefined,
    );
    return found ?? '';
  }

  describe('a switch that snoops', () => {
    const under = (...words: string[]) => lab.wire.ip('link', 'set', 'under', 'type', 'bridge', ...words);

    afterEach(() => void under('mcast_querier', '0', 'mcast_snooping', '0'));

    /** Ports that the bridge has learned a group at. */
    function portsOf(group: string): string[] {
      type Row = { mdb: { port: string; grp: string }[] };
      const [shown] = JSON.parse(
        command('bridge', ['-n', lab.wire.namespace, '-j', 'mdb', 'show', 'dev', 'under']),
      ) as Row[];
      return (shown?.mdb ?? [])
        .filter(({ grp }) => grp === group)
        .map(({ port }) => port)
        .toSorted();
    }

    test('and is the querier itself is heard', async () => {
      lab.wire.ip('addr', 'add', '198.18.0.250/24', 'dev', 'under');
      lab.scope.defer(() => void lab.wire.ip('addr', 'del', '198.18.0.250/24', 'dev', 'under'));
      const daemon = await start(one, BOTH_FAMILIES);
      // Version 3, for the hosts remember an older one for minutes.
      under('mcast_igmp_version', '3', 'mcast_mld_version', '2', 'mcast_query_use_ifaddr', '1');
      under('mcast_query_interval', '100', 'mcast_startup_query_interval', '100');
      under('mcast_snooping', '1', 'mcast_querier', '1');
      lab.scope.defer(() => void under('mcast_query_interval', '12500', 'mcast_startup_query_interval', '3125'));
      const shown = await shows(daemon, 4, { querier: '198.18.0.250' });
      expect(shown).toMatchObject({ watching: true, own: false });
    });

    test('learns the groups of all hosts by our queries, and passes the floods', async () => {
      const [group, group6] = ['239.4.0.1', 'ff05::4:1'];
      const vnis = ['--vni', `100=${group}`, '--vni', `200=${group6}`];
      await hasLinkLocal(three);
      await Promise.all([one, two].map((host) => start(host, vnis)));
      // What was reported when they joined was not heard by a bridge that did not snoop.
      under('mcast_snooping', '1');
      expect([portsOf(group), portsOf(group6)]).toEqual([[], []]);
      await start(three, vnis, { flags: ['--querier'] });
      const learned = () => [portsOf(group), portsOf(group6)];
      const all = ['h1', 'h2', 'h3'];
      await waitFor('the groups at all ports', learned, (ports) => ports.every((each) => each.join() === all.join()), {
        timeoutMs: 20_000,
        everyMs: 100,
      });
      for (const vni of [100, 200]) {
        const [a, b] = [one.packetSocket(`vxlan${vni}`), two.packetSocket(`vxlan${vni}`)];
        sendProbe(a, { dst: 'ff:ff:ff:ff:ff:ff', src: '02:00:00:00:01:01', text: `snooped ${vni}` });
        await arrivesAt(`snooped ${vni}`, b);
      }
    });
  });

  describe('--querier', () => {
    /** Reports by which a host answers a query, rather than tell that it has joined. */
    const isAnswer = (from: PacketSocket, host: Host) =>
      from.select(({ bytes }) => {
        const packet = readIpv4Frame(bytes);
        return packet?.src === host.address && packet.payload[0] === 0x22 && packet.payload[8] === MODE_IS_EXCLUDE;
      });

    test('asks at once as the RFCs want it, and its own host answers', async () => {
      const cable = one.cable();
      const address = await hasLinkLocal(one);
      const daemon = await start(one, BOTH_FAMILIES, { flags: ['--querier'] });
      const igmp = await cable.waitForFrame('an IGMP query', isGeneralIgmpQuery);
      const expected = igmpFrame({ source: one.address });
      // The kernel numbers its packets.
      const sent = Buffer.from(igmp.bytes);
      for (const each of [sent, expected]) for (const at of [18, 19, 24, 25]) each[at] = 0;
      expect(sent.subarray(14, 50).toString('hex')).toBe(expected.subarray(14).toString('hex'));
      expect(igmp.bytes.toString('hex', 0, 6)).toBe('01005e000001');
      const mld = await cable.waitForFrame('an MLD query', isMldQuery);
      expect(mld.bytes.toString('hex', 0, 6)).toBe('333300000001');
      expect(mld.bytes.subarray(62).toString('hex')).toMatch(/^8200....27100{36}027d0000$/);
      await shows(daemon, 4, { querier: one.address, own: true });
      await shows(daemon, 6, { querier: address, own: true });
      expect((await daemon.runCtl('status')).stdout).toContain(`querier: eth0 IPv4: ${one.address}, this daemon\n`);
      await waitFor(
        'the answer',
        () => isAnswer(cable, one).length,
        (count) => count > 0,
        { timeoutMs: 20_000 },
      );
    });

    test.each([4, 6] as const)(
      'of two the one with the lower address asks, and the other is silent: IPv%i',
      async (family) => {
        const candidates = await Promise.all(
          [one, two].map(async (host) => {
            const address = family === 4 ? host.address : await hasLinkLocal(host);
            return { host, address, octets: family === 4 ? ipBytes(address) : ip6Bytes(address) };
          }),
        );
        const [first, second] = candidates.toSorted((a, b) => Buffer.compare(a.octets, b.octets));
        if (!first || !second) throw new Error('two hosts');
        const higher = await start(second.host, BOTH_FAMILIES, { flags: ['--querier'] });
        await shows(higher, family, { querier: second.address, own: true });
        const lower = await start(first.host, BOTH_FAMILIES, { flags: ['--querier'] });
        await shows(lower, family, { querier: first.address, own: true });
        await shows(higher, family, { querier: first.address, own: false });
        await waitFor(
          'the log',
          () => higher.stdout,
          (log) => log.includes(`"querier":"${first.address}","own":false`),
        );
      },
    );

    test('becomes silent for a lower address, and takes over when it is not heard any more', async () => {
      const cable = two.cable();
      const daemon = await start(two, BOTH_FAMILIES, { flags: ['--querier'] });
      await shows(daemon, 4, { querier: two.address, own: true });
      const own = () =>
        cable.select(isGeneralIgmpQuery).filter(({ bytes }) => readIpv4Frame(bytes)?.src === two.address).length;
      await waitFor('the first query', own, (count) => count === 1);
      // A querier whose interval is a second: it is taken for gone after little more than that.
      const socket = three.packetSocket('eth0');
      socket.send(igmpFrame({ source: '198.18.0.1', head: '11 0a', tail: '02 01 00 00' }));
      await shows(daemon, 4, { querier: '198.18.0.1', own: false });
      expect(own()).toBe(1);
      await shows(daemon, 4, { querier: two.address, own: true });
      await waitFor('the query that takes over', own, (count) => count === 2);
      // Neither a higher address nor a switch without one keeps it from asking.
      socket.send(igmpFrame({ source: '198.18.0.77' }), igmpFrame({ source: '0.0.0.0' }));
      await shows(daemon, 4, { querier: two.address, own: true, lastHeard: 0 });
    });

    test('asks again when its interface comes up, and when it was made anew', async () => {
      const before = one.cable();
      await start(one, ['--vni', '100=239.1.1.1'], { flags: ['--querier'] });
      await before.waitForFrame('the first query', isGeneralIgmpQuery);
      one.ip('link', 'set', 'eth0', 'down');
      // Longer than between two looks at the interface.
      await sleep(1_500);
      before.clear();
      one.ip('link', 'set', 'eth0', 'up');
      await before.waitForFrame('a query after up', isGeneralIgmpQuery);
      one.unplug();
      one.plug();
      await one.cable().waitForFrame('a query after it was made anew', isGeneralIgmpQuery);
    });

    test('is refused without CAP_NET_RAW', async () => {
      const args = ['--dev', 'eth0', '--vni', '100=239.1.1.1', '--querier'];
      const { code, stderr } = await runVtepd(one, args, { wrapper: WITHOUT_RAW });
      const lines = stderr.split('\n').filter((line) => line.startsWith('vtepd: '));
      expect({ code, lines }).toEqual({ code: 1, lines: [expect.stringMatching(/^vtepd: --querier: .*CAP_NET_RAW/)] });
      expect(one.link('vxlan100')).toBeUndefined();
    });
  });

  describe('what is heard', () => {
    test('is listed for each family with a group, and nothing of others', async () => {
      const remotes = await start(one, ['--vni', '100,remote=198.18.0.2', '--vni', '200,remote=fd00:18::2']);
      expect(await queriers(remotes)).toEqual([]);
      await remotes.runCtl('vni', 'add', '300=239.1.1.1');
      const fresh = { dev: 'eth0', family: 4, watching: true, querier: null, lastHeard: null, own: false };
      expect(await queriers(remotes)).toEqual([{ ...fresh, since: 0 }]);
      await remotes.runCtl('vni', 'add', '400=ff05::1:200');
      await shows(remotes, 6, { watching: true, querier: null });
      three.packetSocket('eth0').send(mldFrame({}));
      await shows(remotes, 6, { querier: 'fe80::9' });
      await remotes.runCtl('vni', 'del', '300');
      expect((await queriers(remotes)).map(({ family }) => family)).toEqual([6]);
    });

    test('is not what is forged or broken', async () => {
      const daemon = await start(one, BOTH_FAMILIES);
      const socket = three.packetSocket('eth0');
      const router = 'fd000018 00000000 00000000 00000001';
      const group = 'ff050000 00000000 00000000 00010200';
      socket.send(
        ...[{ checksumError: 1 }, { ttl: 2 }, { tail: '02 7d 00' }, { head: '16 00', tail: '' }].map(igmpFrame),
        ...[{ checksumError: 1 }, { hopLimit: 2 }, { hopByHop: '' }, { source: router }, { group }].map(mldFrame),
      );
      // Behind them in both queues; higher, so that any of them would keep it away.
      socket.send(igmpFrame({ source: '198.18.0.200' }), mldFrame({ source: 'fe800000 00000000 00000000 0000ff00' }));
      await shows(daemon, 4, { querier: '198.18.0.200' });
      await shows(daemon, 6, { querier: 'fe80::ff00' });
    });

    test('is believed as long as the querier says, then lost', async () => {
      const daemon = await start(one, BOTH_FAMILIES);
      three.packetSocket('eth0').send(igmpFrame({ head: '11 0a', tail: '01 01 00 00' }));
      await shows(daemon, 4, { querier: '198.18.0.9' });
      await shows(daemon, 4, { querier: null });
      await waitFor(
        'the log',
        () => daemon.stdout,
        (log) => log.includes('querier-lost'),
      );
      expect((await queriers(daemon))[0]).toMatchObject({ watching: true, own: false });
    });

    test('goes on being heard when the interface was down, and when it was made anew', async () => {
      const daemon = await start(one, BOTH_FAMILIES);
      const socket = three.packetSocket('eth0');
      one.ip('link', 'set', 'eth0', 'down');
      one.ip('link', 'set', 'eth0', 'up');
      const hears = async (family: 4 | 6, querier: string, frame: Buffer) => {
        const look = async () => {
          socket.send(frame);
          return (await queriers(daemon)).find((each) => each.family === family)?.querier;
        };
        await waitFor(`${querier} heard`, look, (shown) => shown === querier, { everyMs: 100 });
      };
      await hears(4, '198.18.0.90', igmpFrame({ source: '198.18.0.90' }));
      one.unplug();
      one.plug();
      await hears(4, '198.18.0.80', igmpFrame({ source: '198.18.0.80' }));
      await hears(6, 'fe80::80', mldFrame({ source: 'fe800000 00000000 00000000 00000080' }));
    });

    test('is read in portions: a flood of queries keeps the daemon from nothing', async () => {
      const daemon = await start(one, BOTH_FAMILIES);
      const socket = three.packetSocket('eth0');
      const frames = Array.from({ length: 50 }, (_, i) => igmpFrame({ source: `198.18.1.${255 - i}` }));
      for (let round = 0; round < 100; round++) socket.send(...frames);
      await shows(daemon, 4, { querier: '198.18.1.206' });
      expect((await daemon.stop()).code).toBe(0);
    });

    test('cannot be known without CAP_NET_RAW: the daemon says so and goes on', async () => {
      const daemon = await start(one, BOTH_FAMILIES, { wrapper: WITHOUT_RAW });
      three.packetSocket('eth0').send(igmpFrame({}));
      const unknown = { dev: 'eth0', watching: false, since: null, querier: null, lastHeard: null, own: false };
      expect(await queriers(daemon)).toEqual([
        { ...unknown, family: 4 },
        { ...unknown, family: 6 },
      ]);
      const { stdout } = await daemon.runCtl('status');
      expect(stdout).toContain('querier: eth0 IPv4: unknown: vtepd lacks CAP_NET_RAW\n');
      expect(daemon.stdout).toContain('querier-unknown');
    });

    // The last one: hosts remember for minutes that there are older versions, and then answer by them.
    test('is every version of IGMP and MLD, and a switch that has no address', async () => {
      const daemon = await start(one, BOTH_FAMILIES);
      const socket = three.packetSocket('eth0');
      // Each of a lower address than the one before, which it takes the place of.
      const rows: [family: 4 | 6, frame: Buffer, querier: string][] = [
        [4, igmpFrame({ source: '0.0.0.0', tail: '' }), '0.0.0.0'],
        [4, igmpFrame({ source: '198.18.0.93' }), '198.18.0.93'],
        [4, igmpFrame({ source: '198.18.0.92', tail: '' }), '198.18.0.92'],
        [4, igmpFrame({ source: '198.18.0.9', head: V1_IGMP, tail: '', options: '' }), '198.18.0.9'],
        [6, mldFrame({ source: 'fe800000 00000000 00000000 00000092' }), 'fe80::92'],
        [6, mldFrame({ source: 'fe800000 00000000 00000000 00000091', tail: '' }), 'fe80::91'],
      ];
      for (const [family, frame, querier] of rows) {
        socket.send(frame);
        const shown = await shows(daemon, family, { querier });
        expect(shown).toMatchObject({ dev: 'eth0', watching: true, lastHeard: expect.any(Number), own: false });
      }
      const { stdout } = await daemon.runCtl('status');
      expect(stdout).toMatch(/\nquerier: eth0 IPv4: 198\.18\.0\.9, heard \d+ s ago\n/);
      expect(stdout).toMatch(/\nquerier: eth0 IPv6: fe80::91, heard \d+ s ago\n/);
      const told = () => daemon.stdout.split('\n').filter((line) => line.includes('querier-changed'));
      await waitFor('the last in the log', told, (lines) => lines.some((line) => line.includes('"198.18.0.9"')));
    });
  });
});

/**
 * The addresses of the underlay change under a running daemon, which goes on.
 *
 *     vxlan100 ── host 1  198.18.0.1, fd00:18::1 ───┐ vtepd
 *     vxlan100 ── host 2  198.18.0.2, fd00:18::2 ───┘ the kernel's device, as a peer that knows nothing of it
 */
import { expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepd } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import type { PacketSocket } from '../../support/traffic/packet-socket.ts';
import { arrivesAt, isProbe, sendProbe } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const [NEAR, FAR] = ['02:00:00:00:01:01', '02:00:00:00:02:02'];

describeSystem('addresses of the underlay', () => {
  const lab = useLab({ hosts: 2, ipv6: true });
  const [one, two] = [lab.host(1), lab.host(2)];

  const statusOf = async (vtep: VtepdVtep) => (await vtep.daemon.ctl<{ status: string }[]>('vni', 'show'))[0]?.status;
  const isStatus = (vtep: VtepdVtep, text: string) =>
    waitFor(
      text,
      () => statusOf(vtep),
      (now) => now === text,
    );

  /** The outer source of a flood that leaves host 1, once it arrives. */
  async function floodsOut(text: string): Promise<void> {
    const [out, to] = [one.packetSocket('vxlan100'), two.packetSocket('vxlan100')];
    const look = () => {
      sendProbe(out, { dst: BROADCAST, src: NEAR, text });
      return to.select(isProbe(text)).length;
    };
    await waitFor(`flood out: ${text}`, look, (count) => count > 0, { everyMs: 50 });
  }

  async function floodsIn(text: string): Promise<void> {
    const to: PacketSocket = one.packetSocket('vxlan100');
    sendProbe(two.packetSocket('vxlan100'), { dst: BROADCAST, src: FAR, text });
    await arrivesAt(text, to);
  }

  const addressLines = (vtep: VtepdVtep) =>
    vtep.daemon.stdout.split('\n').filter((line) => line.includes('underlay-address'));

  test.each([
    {
      what: 'an IPv4 address is replaced by another',
      group: '239.1.1.1',
      change: () => {
        one.ip('addr', 'del', '198.18.0.1/24', 'dev', 'eth0');
        one.ip('addr', 'add', '198.18.0.11/24', 'dev', 'eth0');
      },
      undo: () => {
        one.ip('addr', 'del', '198.18.0.11/24', 'dev', 'eth0');
        one.addAddress('198.18.0.1');
      },
      to: '198.18.0.11',
    },
    {
      what: 'the IPv6 prefix changes, the old one deprecated first',
      group: 'ff05::100',
      change: () => {
        one.ip('addr', 'add', 'fd00:18::11/64', 'dev', 'eth0', 'nodad');
        one.ip('addr', 'change', 'fd00:18::1/64', 'dev', 'eth0', 'preferred_lft', '0', 'valid_lft', '60');
      },
      undo: () => {
        one.ip('addr', 'del', 'fd00:18::11/64', 'dev', 'eth0');
        one.ip('addr', 'replace', 'fd00:18::1/64', 'dev', 'eth0', 'nodad');
      },
      to: 'fd00:18::11',
    },
  ])('$what: all goes on from the new one, with one line in the log', async ({ group, change, undo, to }) => {
    const segments = [{ vni: 100, group }];
    const [vtep] = await Promise.all([startVtepdVtep(one, { segments }), startKernelVtep(two, { segments })]);
    lab.scope.defer(undo);
    await floodsOut('before');
    await floodsIn('in before');
    const mac = one.run('cat', '/sys/class/net/vxlan100/address');
    const ports = async () => (await vtep.daemon.ctl<{ local: string[] }>('status')).local;
    change();
    await waitFor('the new address', ports, (local) => local[0] === to);
    one.ip('route', 'replace', '224.0.0.0/4', 'dev', 'eth0');
    await floodsOut('after');
    await floodsIn('in after');
    await isStatus(vtep, 'ok');
    const entries = two.run('bridge', 'fdb', 'show', 'dev', 'vxlan100');
    expect(entries).toMatch(new RegExp(`${NEAR} dst ${to} `));
    expect(one.run('cat', '/sys/class/net/vxlan100/address')).toBe(mac);
    expect(addressLines(vtep)).toHaveLength(1);
    expect((await vtep.daemon.ctl<{ offload: { udpGso: boolean } }>('status')).offload.udpGso).toBe(true);
  });

  test('an address that comes and goes, as a VIP, is the source while it is there, and nobody’s else', async () => {
    const segments = [{ vni: 100, remotes: ['198.18.0.2'] }];
    const flags = ['--local', '198.18.0.50'];
    const vtep = await startVtepdVtep(one, { segments, flags });
    await startKernelVtep(two, { segments: [{ vni: 100, remotes: ['198.18.0.50'] }] });
    expect(await statusOf(vtep)).toBe('198.18.0.50 is not on this host');
    for (const round of [1, 2]) {
      const before = (await vtep.drops()).tx['send-error'] ?? 0;
      sendProbe(one.packetSocket('vxlan100'), { dst: BROADCAST, src: NEAR, text: `absent ${round}` });
      await waitFor(
        'the drop',
        async () => (await vtep.drops()).tx['send-error'] ?? 0,
        (count) => count > before,
      );
      one.ip('addr', 'add', '198.18.0.50/32', 'dev', 'lo');
      await isStatus(vtep, 'ok');
      await floodsOut(`present ${round}`);
      await floodsIn(`in ${round}`);
      one.ip('addr', 'del', '198.18.0.50/32', 'dev', 'lo');
      await isStatus(vtep, '198.18.0.50 is not on this host');
    }
  });

  test('a duplicate is told as one, and an address that is tentative is waited for', async () => {
    one.sysctl('net/ipv6/conf/eth0/dad_transmits', 1);
    one.sysctl('net/ipv6/conf/eth0/accept_dad', 1);
    two.ip('addr', 'add', 'fd00:18::77/64', 'dev', 'eth0', 'nodad');
    one.ip('addr', 'add', 'fd00:18::77/64', 'dev', 'eth0');
    lab.scope.defer(() => void one.ip('addr', 'del', 'fd00:18::77/64', 'dev', 'eth0'));
    const vtep = await startVtepdVtep(one, {
      segments: [{ vni: 100, group: 'ff05::100' }],
      flags: ['--local', 'fd00:18::77'],
    });
    await isStatus(vtep, 'fd00:18::77 is a duplicate: another host has it');
    two.ip('addr', 'del', 'fd00:18::77/64', 'dev', 'eth0');
    one.ip('addr', 'del', 'fd00:18::77/64', 'dev', 'eth0');
    one.ip('addr', 'add', 'fd00:18::77/64', 'dev', 'eth0');
    await isStatus(vtep, 'fd00:18::77 is tentative: duplicate address detection runs');
    await isStatus(vtep, 'ok');
  });

  test('an address of the list becomes the host’s own while it runs: skipped, refused, and back again', async () => {
    const segments = [{ vni: 100, remotes: ['198.18.0.2', '198.18.0.60'] }];
    const vtep = await startVtepdVtep(one, { segments });
    const wire = one.cable();
    const goesTo = (address: string) => {
      const octets = Buffer.from(address.split('.').map(Number));
      return wire.select(({ bytes }) => bytes.readUInt16BE(12) === 0x0800 && bytes.subarray(30, 34).equals(octets))
        .length;
    };
    // Whoever has it answers for it.
    two.ip('addr', 'add', '198.18.0.60/24', 'dev', 'eth0');
    const out = one.packetSocket('vxlan100');
    const floodReaches = async (address: string) => {
      const before = goesTo(address);
      const look = () => {
        sendProbe(out, { dst: BROADCAST, src: NEAR, text: 'to all' });
        return goesTo(address) - before;
      };
      await waitFor(`a flood to ${address}`, look, (count) => count > 0, { everyMs: 50 });
    };
    await floodReaches('198.18.0.60');
    two.ip('addr', 'del', '198.18.0.60/24', 'dev', 'eth0');
    one.ip('addr', 'add', '198.18.0.60/32', 'dev', 'eth0');
    const refusal = () => vtep.daemon.runCtl('fdb', 'add', FAR, '--vni', '100', '--vtep', '198.18.0.60');
    await waitFor('the refusal', refusal, ({ stderr }) => /198\.18\.0\.60 is this host’s own address/.test(stderr));
    const own = goesTo('198.18.0.60');
    await floodReaches('198.18.0.2');
    expect(goesTo('198.18.0.60')).toBe(own);
    one.ip('addr', 'del', '198.18.0.60/32', 'dev', 'eth0');
    two.ip('addr', 'add', '198.18.0.60/24', 'dev', 'eth0');
    lab.scope.defer(() => void two.ip('addr', 'del', '198.18.0.60/24', 'dev', 'eth0'));
    await floodReaches('198.18.0.60');
  });

  test.each([
    { vtep: '198.18.0.60', vip: '198.18.0.60', why: 'own', family: 4 },
    { vtep: 'fd00:18::60', vip: 'fd00:18::60', why: 'own', family: 6 },
    { vtep: '198.18.0.63', vip: '198.18.0.61', why: 'broadcast', family: 4 },
  ])('a static entry and a list at $vtep, $why address for a while: not sent to meanwhile, and told', async (row) => {
    const { vtep: far, vip, why, family } = row;
    const prefix = why === 'broadcast' ? 30 : family === 4 ? 32 : 128;
    const segments = [{ vni: 100, remotes: [far], statics: { [FAR]: far } }];
    const vtep = await startVtepdVtep(one, { segments });
    const out = one.packetSocket('vxlan100');
    const drops = async () => (await vtep.drops()).tx['no-remote'] ?? 0;
    const isOut = async () => (await vtep.daemon.ctl<{ verdict: string }>('trace', ...traced)).verdict;
    const traced = ['--vni', '100', '--src', NEAR, '--dst', FAR];
    expect(await isOut()).toBe('forwarded');
    one.ip('addr', 'add', `${vip}/${prefix}`, 'dev', 'eth0', ...(family === 6 ? ['nodad'] : []));
    const undo = () => one.ip('addr', 'del', `${vip}/${prefix}`, 'dev', 'eth0');
    await waitFor('the verdict', isOut, (verdict) => verdict === 'dropped').catch((error) => {
      undo();
      throw error;
    });
    try {
      const before = await drops();
      sendProbe(out, { dst: FAR, src: NEAR, text: 'unicast' });
      sendProbe(out, { dst: BROADCAST, src: NEAR, text: 'flood' });
      await waitFor('both drops', drops, (count) => count >= before + 2);
      expect(await vtep.fdb()).toContainEqual(expect.objectContaining({ mac: FAR, vtep: far, unsent: true }));
      const said = await vtep.daemon.runCtl('trace', ...traced);
      expect(said.stdout).toMatch(/nothing is sent to it/);
      type Row = { check: string; object: string; status: string; message: string };
      const doctor = JSON.parse((await vtep.daemon.runCtl('--json', 'doctor')).stdout) as Row[];
      expect(doctor).toContainEqual(expect.objectContaining({ check: 'vtep', object: far, status: 'warning' }));
      expect(doctor).toContainEqual(expect.objectContaining({ check: 'vni', object: 'VNI 100', status: 'warning' }));
      await waitFor(
        'the status',
        () => statusOf(vtep),
        (status) => status !== 'ok',
      );
      const refused = why === 'own' ? /this host’s own address/ : /broadcast address of a network/;
      const add = await vtep.daemon.runCtl('fdb', 'add', NEAR, '--vni', '100', '--vtep', far);
      expect([add.code, add.stderr]).toEqual([1, expect.stringMatching(refused)]);
    } finally {
      undo();
    }
    await waitFor('the verdict', isOut, (verdict) => verdict === 'forwarded');
    await isStatus(vtep, 'ok');
    expect((await vtep.fdb()).find(({ mac }) => mac === FAR)).not.toHaveProperty('unsent');
  });

  test('the broadcast address of an own network is refused at once', async () => {
    const vtep = await startVtepdVtep(one, { segments: [{ vni: 100, remotes: ['198.18.0.2'] }] });
    const refused = /198\.18\.0\.255.*: the address is the broadcast address of a network that this host is in/;
    for (const command of [
      ['remote', 'add', '198.18.0.255', '--vni', '100'],
      ['fdb', 'add', FAR, '--vni', '100', '--vtep', '198.18.0.255'],
      ['vni', 'add', '200,remote=198.18.0.255'],
      ['vni', 'add', `200,static=${FAR}@198.18.0.255`],
    ]) {
      const { code, stderr } = await vtep.daemon.runCtl(...command);
      expect([code, stderr]).toEqual([1, expect.stringMatching(refused)]);
    }
  });

  test.each(['198.18.0.101', '127.0.0.1', 'fd00:18::101'])(
    'VXLAN to %s, another address of the host, is taken',
    async (address) => {
      const isLoopback = address === '127.0.0.1';
      const dev = isLoopback ? 'lo' : 'eth0';
      if (!isLoopback) {
        const add = ['addr', 'add', address.includes(':') ? `${address}/64` : `${address}/32`, 'dev', dev];
        one.ip(...add, ...(address.includes(':') ? ['nodad'] : []));
        lab.scope.defer(() => void one.ip('addr', 'del', ...add.slice(2)));
      }
      const groups = address.includes(':') ? [{ vni: 100, group: 'ff05::100' }] : [{ vni: 100, group: '239.1.1.1' }];
      const vtep = await startVtepdVtep(one, { segments: groups, flags: ['--workers', '2'] });
      const tap = one.packetSocket('vxlan100');
      const bytes = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: FAR, text: `to ${address}` }) });
      // From the host itself it is an own packet, wherever it was sent.
      const from = isLoopback
        ? one.udpSocket({ address })
        : two.udpSocket({ address: address.includes(':') ? two.address6 : two.address });
      from.send(bytes, { to: address });
      if (!isLoopback) await arrivesAt(`to ${address}`, tap);
      else
        await waitFor(
          'the drop',
          async () => (await vtep.drops()).rx['own-packet'] ?? 0,
          (count) => count > 0,
        );
    },
  );

  test('nobody else can bind the port, on no address, whatever options he sets; another family is free', async () => {
    await startVtepdVtep(one, { segments: [{ vni: 100, group: '239.1.1.1' }], flags: ['--workers', '2'] });
    const attempt = [
      'import socket, sys, itertools',
      'REUSE = [socket.SO_REUSEADDR, socket.SO_REUSEPORT]',
      'for address in ["0.0.0.0", "198.18.0.1", "127.0.0.1"]:',
      '  for options in [[], [socket.SO_REUSEADDR]]:',
      '    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
      '    for option in options: s.setsockopt(socket.SOL_SOCKET, option, 1)',
      '    try: s.bind((address, 4789)); print("bound", address, options)',
      '    except OSError as error: print(error.errno)',
      's = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)',
      's.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)',
      's.bind(("::", 4789)); print("free")',
    ].join('\n');
    expect(one.run('python3', '-c', attempt).trim().split('\n')).toEqual([...Array(6).fill('98'), 'free']);
  });

  test('several daemons share a host, each with an address of its own, and talk to each other', async () => {
    one.ip('addr', 'add', '198.18.0.21/32', 'dev', 'eth0');
    lab.scope.defer(() => void one.ip('addr', 'del', '198.18.0.21/32', 'dev', 'eth0'));
    const alone = (local: string) => ['--listen', 'local', '--local', local];
    const list = ['198.18.0.1', '198.18.0.21'];
    await startVtepdVtep(one, { segments: [{ vni: 100, remotes: list }], flags: alone('198.18.0.1') });
    const second = await startVtepdVtep(one, {
      segments: [{ vni: 100, remotes: list, keys: ['tap=other100'] }],
      flags: alone('198.18.0.21'),
    });
    const [a, b] = [one.packetSocket('vxlan100'), one.packetSocket('other100')];
    sendProbe(a, { dst: BROADCAST, src: NEAR, text: 'hello' });
    await arrivesAt('hello', b);
    sendProbe(b, { dst: BROADCAST, src: FAR, text: 'and back' });
    await arrivesAt('and back', a);
    const third = await runVtepd(one, ['--dev', 'eth0', '--vni', '300=239.1.1.3', ...alone('198.18.0.21')]);
    expect([third.code, third.stderr]).toEqual([1, expect.stringContaining('UDP 198.18.0.21:4789')]);
    // The one of the other address is not in the way.
    expect(third.stderr).toContain(`vtepd (pid ${second.daemon.pid}) holds UDP port 4789`);
  });

  test.each([
    { group: '239.1.1.1', locals: ['198.18.0.1', '198.18.0.31'] },
    { group: 'ff05::100', locals: ['fd00:18::1', 'fd00:18::31'] },
  ])(
    'daemons that share a host and the group $group hear each other, and every other host',
    async ({ group, locals }) => {
      const [near, far] = locals as [string, string];
      const address = group.includes(':') ? [`${far}/128`, 'nodad'] : [`${far}/32`];
      one.ip('addr', 'add', ...address, 'dev', 'eth0');
      lab.scope.defer(() => void one.ip('addr', 'del', address[0] as string, 'dev', 'eth0'));
      const flags = (local: string) => ['--listen', 'local', '--local', local];
      await startVtepdVtep(one, { segments: [{ vni: 100, group }], flags: flags(near) });
      await startVtepdVtep(one, { segments: [{ vni: 100, group, keys: ['tap=other100'] }], flags: flags(far) });
      await startKernelVtep(two, { segments: [{ vni: 100, group }] });
      const taps = [one.packetSocket('vxlan100'), one.packetSocket('other100'), two.packetSocket('vxlan100')];
      for (const [from, tap] of taps.entries()) {
        const text = `${group} from ${from}`;
        sendProbe(tap, { dst: BROADCAST, src: `02:00:00:00:03:0${from}`, text });
        for (const [to, other] of taps.entries()) if (to !== from) await arrivesAt(text, other);
      }
    },
  );
});

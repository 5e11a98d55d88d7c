/**
 * What is too large for a path, and whether its sender may be told: by the outer DF bit (`--df`) and family. Beside the kernel's own device.
 *
 *     192.0.2.1, fd00:99::1                                                       192.0.2.2, fd00:99::2
 *     vxlan100 ── host 1: vtepd ── router A ── MTU 1400 or 1300 ── router B ── host 2: kernel ── vxlan100
 *               198.18.0.1, fd00:18::1                                   198.18.1.2, fd00:19::2
 */
import { afterEach, expect, test } from 'vitest';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { FAR_ADDRESS, FAR_ADDRESS6, putBehindRouters, removeRouters } from '../../support/lab/routers.ts';
import { BROADCAST, ETHERTYPE, ethernet, ipv4, readVxlanPacket } from '../../support/traffic/frames.ts';
import { waitFor } from '../../support/wait.ts';

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly object: string;
  readonly message: string;
  readonly remedy: string | null;
}

interface Case {
  readonly narrowMtu: number;
  /** Of the underlay. */
  readonly family: 4 | 6;
  readonly flags: readonly string[];
}

describeSystem('a path that is too narrow', () => {
  const lab = useLab({ hosts: 2, ipv6: true });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;

  afterEach(() => removeRouters(lab));

  async function start(family: 4 | 6, flags: readonly string[], keys: readonly string[] = []): Promise<void> {
    const remotes = [family === 4 ? FAR_ADDRESS : FAR_ADDRESS6];
    vtep = await startVtepdVtep(one, { segments: [{ vni: 100, remotes, keys }], flags });
    one.ip('addr', 'add', '192.0.2.1/24', 'dev', 'vxlan100');
    one.addIpv6('vxlan100', 'fd00:99::1/64');
  }

  /** A kernel's device as the other end; and vtepd, which has heard it. */
  async function build({ narrowMtu, family, flags }: Case, keys?: readonly string[]): Promise<void> {
    putBehindRouters(lab, { narrowMtu });
    const ends = family === 4 ? [FAR_ADDRESS, one.address] : [FAR_ADDRESS6, one.address6];
    const device = ['type', 'vxlan', 'id', '100', 'dev', 'eth0', 'dstport', '4789'];
    two.ip('link', 'add', 'vxlan100', ...device, 'local', ends[0] as string, 'remote', ends[1] as string);
    lab.scope.defer(() => {
      if (two.link('vxlan100')) two.ip('link', 'del', 'vxlan100');
    });
    // Its own answers are to fit.
    two.ip('link', 'set', 'vxlan100', 'mtu', `${narrowMtu - 70}`, 'up');
    two.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vxlan100');
    if (narrowMtu >= 1_350) two.addIpv6('vxlan100', 'fd00:99::2/64');
    await start(family, flags, keys);
    // The routers' links may not be fit for IPv6 yet.
    await waitFor(
      'the other end',
      () => one.ping('192.0.2.2', { count: 1 }),
      (answers) => answers === 1,
    );
  }

  const mtuFaults = async () => {
    const findings = await vtep.daemon.get<Finding[]>('/v1/doctor');
    return findings.filter(({ check, status }) => check === 'mtu' && status !== 'ok');
  };
  const pathMtus = async () => {
    const rows = await vtep.daemon.ctl<{ vtep: string; pathMtu: number | null }[]>('vtep', 'show');
    return rows.map(({ vtep: address, pathMtu }) => [address, pathMtu]);
  };
  const traced = async (size: number) => {
    const mac = two.link('vxlan100')?.address ?? '';
    const { stdout } = await vtep.daemon.runCtl(
      ...['trace', '--vni', '100', '--src', '02:00:00:00:00:01', '--dst', mac, '--size', `${size}`],
    );
    return stdout.trimEnd().split('\n').slice(-2);
  };

  /** Whether a machine finds out how large its packets may be. */
  async function isTold(mtu: number): Promise<void> {
    await waitFor(
      `the machine to know ${mtu}`,
      () => {
        one.ping('192.0.2.2', { count: 1, size: 1_372 });
        return one.ip('route', 'get', '192.0.2.2');
      },
      (route) => route.includes(`mtu ${mtu}`),
      { timeoutMs: 15_000 },
    );
    expect(one.ping('192.0.2.2', { count: 1, size: mtu - 28 })).toBe(1);
  }

  test.each<Case & { told: number; others: number; said: RegExp }>([
    {
      narrowMtu: 1_400,
      family: 4,
      flags: [],
      told: 1_350,
      others: 0,
      said: /that are not IP are lost.* with --df inherit/,
    },
    {
      narrowMtu: 1_400,
      family: 4,
      flags: ['--df', 'inherit'],
      told: 1_350,
      others: 5,
      said: /routers fragment all other frames/,
    },
    {
      narrowMtu: 1_400,
      family: 6,
      flags: ['--df', 'set', '--workers', '2'],
      told: 1_330,
      others: 0,
      said: /that are not IP are lost/,
    },
    { narrowMtu: 1_400, family: 6, flags: ['--df', 'unset'], told: 1_330, others: 0, said: /that are not IP are lost/ },
    {
      narrowMtu: 1_400,
      family: 6,
      flags: ['--df', 'inherit'],
      told: 1_330,
      others: 0,
      said: /that are not IP are lost/,
    },
  ])(
    'over IPv$family with $flags: who may be told is, of the others $others of 5 arrive, and doctor, vtep show and trace know',
    async ({ told, others, said, ...each }) => {
      await build(each);
      const far = each.family === 4 ? FAR_ADDRESS : FAR_ADDRESS6;
      expect(await pathMtus()).toEqual([[far, null]]);
      // Before the machine knows the path, or it would cut them itself.
      expect(one.ping('192.0.2.2', { count: 5, size: 1_372, discovery: 'dont' })).toBe(others);
      await isTold(told);
      expect(await pathMtus()).toEqual([[far, 1_400]]);
      const { limits } = await vtep.daemon.ctl<{ limits: { limit: string; used: number }[] }>('status');
      expect(limits.find(({ limit }) => limit === 'path-limits')).toMatchObject({ used: 1, max: 1_024 });
      expect((await vtep.drops()).tx.oversize).toBeGreaterThan(0);
      const faults = await mtuFaults();
      const remedy = `ip link set vxlan100 mtu ${told}`;
      expect(faults).toMatchObject([{ object: 'vxlan100', message: expect.stringMatching(said), remedy }]);
      expect(await traced(told + 14)).toEqual([
        expect.stringMatching(/octets(, DF .*)?, it fits$/),
        `forwarded to ${far}`,
      ]);
      if (others === 0) {
        const tellsWhom = `if it is IPv4 with DF or IPv6, its sender is told MTU ${told}; else nobody is told`;
        expect(await traced(told + 15)).toEqual([tellsWhom, 'dropped: oversize']);
      } else {
        const cut = 'outer packet: 1401 octets, DF clear (that of the inner packet), larger than the path to';
        expect(await traced(told + 15)).toEqual([
          `${cut} ${far} (MTU 1400): routers fragment it`,
          `forwarded to ${far}`,
        ]);
      }
      one.run('sh', '-c', remedy);
      expect(await mtuFaults()).toEqual([]);
      expect(one.ping('192.0.2.2', { count: 2, size: 1_372, discovery: 'dont' })).toBe(2);
    },
    60_000,
  );

  test('over IPv4 with --df unset all arrive, and nothing is wrong', async () => {
    await build({ narrowMtu: 1_400, family: 4, flags: ['--df', 'unset'] });
    expect(one.ping('192.0.2.2', { count: 3, size: 1_372 })).toBe(3);
    expect(await mtuFaults()).toEqual([]);
  });

  test('and too narrow for IPv6 inside: no remedy takes IPv6 away, and --df unset helps', async () => {
    await build({ narrowMtu: 1_300, family: 4, flags: [] });
    await isTold(1_250);
    const [fault, ...more] = await mtuFaults();
    expect(more).toEqual([]);
    expect(fault).toMatchObject({ object: 'vxlan100', remedy: '--df unset' });
    expect(fault?.message).toContain(
      'also IPv6, which cannot be told less than 1280; raise the MTU of the path to 1330',
    );
    await vtep.stop();
    await start(4, (fault?.remedy ?? '').split(' '));
    two.ip('link', 'set', 'vxlan100', 'mtu', '1450');
    two.addIpv6('vxlan100', 'fd00:99::2/64');
    expect(one.ping('fd00:99::2', { count: 2, size: 1_280 - 48 })).toBe(2);
    expect(await mtuFaults()).toEqual([]);
  }, 60_000);

  test('to the only VTEP of a segment that learns nothing: its machines are told', async () => {
    await build({ narrowMtu: 1_400, family: 4, flags: [] }, ['learning=off']);
    await isTold(1_350);
  }, 60_000);

  test('the outer DF bit is, with --df inherit, what it is of the kernel’s device', async () => {
    await build({ narrowMtu: 1_400, family: 4, flags: ['--df', 'inherit'] });
    two.ip('link', 'set', 'vxlan100', 'type', 'vxlan', 'id', '100', 'df', 'inherit');
    const packet = (dontFragment: boolean) =>
      ipv4({ src: '192.0.2.8', dst: '192.0.2.255', protocol: 17, payload: Buffer.alloc(20), dontFragment });
    const ip6 = Buffer.concat([Buffer.from('6000000000083b40', 'hex'), Buffer.alloc(40)]);
    const kinds: [string, Buffer, number][] = [
      ['IPv4 with DF', packet(true), ETHERTYPE.ipv4],
      ['IPv4 without', packet(false), ETHERTYPE.ipv4],
      ['IPv6', ip6, 0x86dd],
      ['no IP', Buffer.alloc(46), 0x88b5],
    ];
    const cable = one.cable();
    const bits = async (host: typeof one, from: string) => {
      const found: Record<string, boolean | undefined> = {};
      for (const [i, [kind, payload, type]] of kinds.entries()) {
        const src = `02:00:00:00:0${host.number}:0${i}`;
        host.packetSocket('vxlan100').send(ethernet({ dst: BROADCAST, src, type, payload }));
        const mac = Buffer.from(src.replaceAll(':', ''), 'hex');
        const { bytes } = await cable.waitForFrame(`${kind} from ${from}`, (frame) => {
          const outer = readVxlanPacket(frame.bytes);
          return outer?.ip.src === from && outer.vxlan.inner.subarray(6, 12).equals(mac);
        });
        found[kind] = readVxlanPacket(bytes)?.ip.dontFragment;
      }
      return found;
    };
    const kernel = await bits(two, FAR_ADDRESS);
    expect(kernel).toEqual({ 'IPv4 with DF': true, 'IPv4 without': false, IPv6: true, 'no IP': false });
    expect(await bits(one, one.address)).toEqual(kernel);
  }, 60_000);
});

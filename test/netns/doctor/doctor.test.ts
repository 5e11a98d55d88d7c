/**
 * `vtepctl doctor` and `/v1/doctor`: each fault is planted on a real host, found, and mended by the command that is printed.
 *
 *     veth1 ─ br0 ─ vxlan200  vxlan100  vxlan300 ── host 1  198.18.0.1  fd00:18::1 ───┐ vtepd
 *                             vxlan100           ── host 2  198.18.0.2  fd00:18::2 ───┘ vtepd
 */
import { existsSync } from 'node:fs';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Finding, vxlanGetsIn } from '../../support/daemon/doctor.ts';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { VTEPCTL } from '../../support/daemon/vtepd-process.ts';
import { command } from '../../support/host/namespaces.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { OpenVswitch } from '../../support/lab/open-vswitch.ts';
import { addBridge } from '../../support/lab/virtual-machine.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import { arrivesAt, sendProbe } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const SEGMENTS = [
  { vni: 100, group: '239.1.1.1' },
  { vni: 200, group: '239.1.1.2', bridge: 'br0' },
  { vni: 300, group: 'ff05::1:300' },
];
const CHECKS = ['tun', 'capabilities', 'interface', 'address', 'mtu', 'port', 'firewall', 'groups', 'multicast-route'];

const isFault = ({ status }: Finding) => status === 'failed' || status === 'warning';

describeSystem('doctor', () => {
  const lab = useLab({ hosts: 2, ipv6: true });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;

  /** Findings of the daemon of host 1. */
  const findings = () => vtep.daemon.get<Finding[]>('/v1/doctor');
  const faultsOf = async (check: string) => (await findings()).filter((each) => each.check === check && isFault(each));

  /** Runs a remedy as one who pastes it. */
  function mend(remedy: string | null): void {
    one.run('sh', '-c', (remedy ?? 'false').replaceAll(/(?<=^|&& )vtepctl\b/g, `${process.execPath} ${VTEPCTL}`));
  }

  async function planted(check: string): Promise<Finding> {
    const [fault] = await waitFor(
      `a fault of ${check}`,
      () => faultsOf(check),
      ({ length }) => length > 0,
      { everyMs: 50 },
    );
    return fault as Finding;
  }

  async function mended(check: string): Promise<void> {
    await waitFor(
      `${check} to be mended`,
      () => faultsOf(check),
      ({ length }) => length === 0,
      { everyMs: 50 },
    );
  }

  /** The daemon's control socket aside, what a person sees who has none: `vtepctl doctor` in host 1. */
  function withoutDaemon(script = '"$@"'): { code: number; findings: Finding[]; text: string } {
    const run = (...flags: string[]) => {
      const words = [process.execPath, VTEPCTL, '--socket', `${lab.folder}/none.sock`, 'doctor', ...flags];
      const output = one.run('sh', '-c', `${script}; echo $?`, 'sh', ...words).trimEnd();
      const end = output.lastIndexOf('\n');
      return { code: Number(output.slice(end + 1)), text: output.slice(0, end) };
    };
    const { code, text } = run('--json');
    return { code, findings: JSON.parse(text) as Finding[], text };
  }

  describe('with a daemon', () => {
    useScope(lab);

    beforeAll(async () => {
      addBridge(one, 'br0');
      lab.scope.defer(() => void one.ip('link', 'del', 'br0'));
      one.ip('link', 'add', 'veth1', 'mtu', '1450', 'type', 'veth', 'peer', 'name', 'veth2');
      lab.scope.defer(() => void one.ip('link', 'del', 'veth1'));
      one.ip('link', 'set', 'veth1', 'master', 'br0', 'up');
      const others = SEGMENTS.map(({ vni, group }) => ({ vni, group }));
      [vtep] = await Promise.all([
        startVtepdVtep(one, { segments: SEGMENTS }),
        startVtepdVtep(two, { segments: others, flags: ['--vni', '999=239.1.1.1'] }),
      ]);
    }, 30_000);

    /** Host 1 hears host 2 in every VNI. */
    async function hear(): Promise<void> {
      for (const { vni } of SEGMENTS) {
        const [from, to] = [two.packetSocket(`vxlan${vni}`), one.packetSocket(`vxlan${vni}`)];
        sendProbe(from, { dst: BROADCAST, src: '02:00:00:00:02:01', text: `heard ${vni}` });
        await arrivesAt(`heard ${vni}`, to);
      }
    }

    test('nobody was heard yet: floods may end at a router', async () => {
      expect(await planted('ttl')).toMatchObject({
        status: 'warning',
        object: '--mcast-ttl 1',
        remedy: '--mcast-ttl 16',
      });
      await hear();
      await mended('ttl');
    });

    test('a healthy host has no fault, in text and in JSON', async () => {
      const all = await findings();
      expect(all.filter(isFault)).toEqual([]);
      expect(all.map(({ check }) => check)).toEqual(expect.arrayContaining([...CHECKS, 'ttl', 'vni', 'drops']));
      const { code, stdout, stderr } = await vtep.daemon.runCtl('doctor');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const lines = stdout.trimEnd().split('\n');
      expect(lines).toHaveLength(all.length);
      for (const line of lines) expect(line).toMatch(/^(ok|\? ) {4}\S/);
      // Messages may count seconds.
      const again = await vtep.daemon.ctl<Finding[]>('doctor');
      const told = (each: Finding) => [each.check, each.status, each.object, each.remedy];
      expect(again.map(told)).toEqual(all.map(told));
    });

    test('a failed check is exit code 1, its remedy a line of its own', async () => {
      one.ip('link', 'set', 'vxlan100', 'mtu', '1500');
      const { code, stdout } = await vtep.daemon.runCtl('doctor');
      expect(code).toBe(1);
      expect(stdout).toMatch(/^FAIL {2}mtu +vxlan100 .*1500.*\n {6}ip link set vxlan100 mtu 1450$/m);
      mend('ip link set vxlan100 mtu 1450');
      await mended('mtu');
    });

    test.each([
      ['interface', 'failed', 'ip link set eth0 down', 'ip link set eth0 up'],
      // The route went with the interface.
      ['multicast-route', 'warning', 'true', 'ip route add 224.0.0.0/4 dev eth0'],
      // So did the IPv6 address.
      ['address', 'failed', 'ip addr del fd00:18::1/64 dev eth0 || true', 'ip addr add fd00:18::1/64 dev eth0'],
      ['address', 'failed', 'ip addr del 198.18.0.1/24 dev eth0', 'ip addr add 198.18.0.1/24 dev eth0'],
      [
        'address',
        'warning',
        'ip addr change 198.18.0.1/24 dev eth0 preferred_lft 0 valid_lft 900',
        'ip addr change 198.18.0.1/24 dev eth0 preferred_lft forever valid_lft forever',
      ],
      ['mtu', 'failed', 'ip link set eth0 mtu 1400', 'ip link set eth0 mtu 1500'],
      ['mtu', 'failed', 'ip link set vxlan300 mtu 1500', 'ip link set vxlan300 mtu 1430'],
      ['mtu', 'warning', 'ip link set veth1 mtu 1500', 'ip link set veth1 mtu 1450'],
      ['mtu', 'warning', 'ip link set veth1 mtu 1300', 'ip link set veth1 mtu 1450'],
      ['vni', 'failed', 'ip link set vxlan100 down', 'ip link set vxlan100 up'],
      ['vni', 'failed', 'ip link set br0 down', 'ip link set br0 up'],
      ['vni', 'failed', 'ip link set vxlan200 nomaster', 'ip link set vxlan200 master br0'],
      ['multicast-route', 'warning', 'ip route del 224.0.0.0/4 || true', 'ip route add 224.0.0.0/4 dev eth0'],
    ] as const)('%s %s: %s', async (check, status, fault, remedy) => {
      one.run('sh', '-c', fault);
      const finding = await planted(check);
      expect(finding).toMatchObject({ status, remedy });
      mend(remedy);
      await mended(check);
    });

    test('a path that is narrower than the underlay', async () => {
      one.ip('route', 'add', `${two.address}/32`, 'dev', 'eth0', 'mtu', '1400');
      const { status, object, remedy } = await planted('mtu');
      expect({ status, object, remedy }).toEqual({
        ...{ status: 'warning', object: 'vxlan100', remedy: 'ip link set vxlan100 mtu 1350' },
      });
      mend(remedy);
      const left = await faultsOf('mtu');
      expect(left.map((each) => each.object)).not.toContain('vxlan100');
      one.ip('route', 'del', `${two.address}/32`);
      for (const tap of ['vxlan100', 'vxlan200']) one.ip('link', 'set', tap, 'mtu', '1450');
      await mended('mtu');
    });

    test('strict reverse-path filtering', async () => {
      one.sysctl('net/ipv4/conf/eth0/rp_filter', 1);
      await mended('reverse-path');
      one.ip('link', 'set', 'veth2', 'up');
      one.ip('route', 'add', `${two.address}/32`, 'dev', 'veth2');
      const { status, remedy } = await planted('reverse-path');
      expect({ status, remedy }).toEqual({ status: 'warning', remedy: 'sysctl -w net.ipv4.conf.eth0.rp_filter=2' });
      mend(remedy);
      await mended('reverse-path');
      one.ip('route', 'del', `${two.address}/32`);
    });

    test('TTL 1 with a VTEP behind a router', async () => {
      one.ip('route', 'add', '198.18.1.0/24', 'via', two.address);
      const entry = ['02:00:00:00:03:01', '--vni', '100'];
      await vtep.daemon.ctl('fdb', 'add', ...entry, '--vtep', '198.18.1.2');
      expect(await planted('ttl')).toMatchObject({ status: 'failed', remedy: '--mcast-ttl 16' });
      await vtep.daemon.ctl('fdb', 'del', ...entry);
      await mended('ttl');
      one.ip('route', 'del', '198.18.1.0/24');
    });

    test('a remote that is heard in the group too', async () => {
      await vtep.daemon.ctl('remote', 'add', two.address, '--vni', '100');
      await hear();
      const { status, object, remedy } = await planted('remote-in-group');
      expect({ status, object, remedy }).toEqual({
        ...{ status: 'warning', object: two.address },
        remedy: `vtepctl --socket ${vtep.daemon.socket} remote del ${two.address} --vni 100`,
      });
      mend(remedy);
      await mended('remote-in-group');
    });

    test('a group that could not be joined again', async () => {
      one.sysctl('net/ipv4/igmp_max_memberships', 0);
      one.unplug();
      one.plug();
      const { status, remedy } = await planted('groups');
      expect({ status, remedy }).toEqual({ status: 'failed', remedy: 'sysctl -w net.ipv4.igmp_max_memberships=20' });
      mend(remedy);
      await mended('groups');
      await hear();
    });

    test('/dev/net/tun is gone', async () => {
      const inside = (script: string) => command('nsenter', ['-t', `${vtep.daemon.pid}`, '-m', 'sh', '-c', script]);
      inside('mount -t tmpfs none /dev/net');
      const { status, remedy } = await planted('tun');
      expect({ status, remedy }).toEqual({
        status: 'failed',
        remedy: 'mkdir -p /dev/net && mknod /dev/net/tun c 10 200',
      });
      inside(remedy ?? '');
      await mended('tun');
      inside('rm /dev/net/tun && touch /dev/net/tun');
      inside((await planted('tun')).remedy ?? '');
      await mended('tun');
      inside('umount /dev/net');
    });

    describe('firewall: what it says is what happens', () => {
      const nft = (text: string) => one.run('sh', '-c', 'printf %s "$1" | nft -f -', 'sh', text);
      const getsIn = () => vxlanGetsIn(two, one);

      const ofInput = (rules: string, policy = 'accept') =>
        `table inet filter {\nset ports { type inet_service; flags interval; elements = { 53, 4000-5000 }\n}
        map verdicts { type inet_service : verdict; elements = { 53 : accept, 4789 : drop }\n}
        chain vxlan {\nip saddr 198.18.0.0/24 accept\nip6 saddr fd00:18::/64 accept\nreturn\n}
        chain input {\ntype filter hook input priority 0; policy ${policy};\n${rules}\n}\n}\n`;

      beforeEach(() => lab.scope.defer(() => void one.run('nft', 'flush', 'ruleset')));

      test.each([
        ['udp dport 4789 drop', 'accept', 'failed'],
        ['udp dport { 53, 4789 } counter reject', 'accept', 'failed'],
        ['udp dport vmap @verdicts', 'accept', 'failed'],
        ['meta l4proto { tcp, udp } th dport 4789 drop', 'accept', 'failed'],
        ['iifname "lo" drop\niifname "eth*" ip protocol udp drop', 'accept', 'failed'],
        ['ip saddr 198.18.0.0/24 udp dport 4789 drop', 'accept', 'failed'],
        ['ct state invalid drop\nct state established,related accept', 'drop', 'failed'],
        ['ct state vmap { established : accept, related : accept, new : continue, invalid : drop }', 'drop', 'failed'],
        ['udp dport 4789 goto vxlan\nudp dport 4789 drop', 'drop', 'ok'],
        ['meta pkttype multicast accept\nfib daddr type local udp dport >= 4789 accept', 'drop', 'ok'],
        ['tcp dport != 22 drop', 'accept', 'ok'],
        ['udp dport 4789 limit rate over 1/hour burst 1 packets drop', 'accept', 'warning'],
      ] as const)('%s, policy %s: %s', async (rules, policy, status) => {
        nft(ofInput(rules, policy));
        const [fault, ...others] = await faultsOf('firewall');
        expect([fault?.status ?? 'ok', others]).toEqual([status, []]);
        if (status !== 'warning') expect(await getsIn()).toBe(status === 'ok');
        if (!fault) return;
        mend(fault.remedy);
        await mended('firewall');
        expect(await getsIn()).toBe(true);
      });

      test('the remedies name table, chain and rule', async () => {
        nft('table ip t6 {\nchain mine {\ntype filter hook input priority 5; policy drop;\n}\n}\n');
        expect((await planted('firewall')).remedy).toBe('nft insert rule ip t6 mine udp dport 4789 accept');
        one.run('nft', 'flush', 'ruleset');
        nft('table inet a {\nchain b {\ntype filter hook prerouting priority 0;\nudp dport 4789 drop\n}\n}\n');
        expect((await planted('firewall')).remedy).toMatch(/^nft delete rule inet a b handle \d+$/);
      });

      test('what goes out', async () => {
        nft(
          'table inet f {\nchain out {\ntype filter hook output priority 0;\noifname "eth0" udp dport 4789 drop\n}\n}\n',
        );
        const { status, object, remedy } = await planted('firewall');
        expect({ status, object }).toEqual({ status: 'failed', object: 'eth0, UDP 4789 out' });
        mend(remedy);
        await mended('firewall');
      });

      test('rules of iptables, which nft shows only in part', async () => {
        const iptables = (rule: string) => one.run('sh', '-c', `iptables ${rule}`);
        iptables('-P INPUT DROP');
        iptables('-A INPUT -p udp -m multiport --dports 53,4789 -j ACCEPT');
        await mended('firewall');
        expect(await getsIn()).toBe(true);
        iptables(`-I INPUT -p udp --dport 4789 -m comment --comment 'not "here"' -j DROP`);
        const { status, remedy } = await planted('firewall');
        expect({ status, command: remedy?.slice(0, 17) }).toEqual({ status: 'failed', command: 'iptables -D INPUT' });
        expect(await getsIn()).toBe(false);
        mend(remedy);
        await mended('firewall');
        iptables('-F INPUT');
        expect((await planted('firewall')).remedy).toBe('iptables -I INPUT -p udp --dport 4789 -j ACCEPT');
        mend((await planted('firewall')).remedy);
        await mended('firewall');
        expect(await getsIn()).toBe(true);
        iptables('-P INPUT ACCEPT');
      });
    });

    test('drops that tell of trouble', async () => {
      await mended('drops');
      const from = two.packetSocket('vxlan999');
      sendProbe(from, { dst: BROADCAST, src: '02:00:00:00:02:01', text: 'to a VNI that host 1 has not' });
      expect(await planted('drops')).toMatchObject({ status: 'warning', object: 'rx unknown-vni' });
    });

    test('a TAP that was deleted', async () => {
      one.ip('link', 'del', 'vxlan100');
      expect(await planted('vni')).toMatchObject({
        status: 'failed',
        object: 'VNI 100',
        remedy: expect.stringMatching(/^vtepctl .*vni del 100 && vtepctl .*vni add 100=239\.1\.1\.1/),
      });
      mend((await planted('vni')).remedy);
      await mended('vni');
    });
  });

  describe('without a daemon', () => {
    test('a host that is fit for one: exit 0', async () => {
      const { code, findings: all } = withoutDaemon();
      expect(code).toBe(0);
      const [first, ...others] = all;
      const remedy = existsSync('/run/systemd/system') ? 'systemctl start vtepd' : null;
      expect(first).toMatchObject({ check: 'daemon', status: 'warning', remedy });
      expect(others.filter(isFault)).toEqual([]);
      expect(others.map(({ check }) => check)).toEqual(CHECKS.filter((check) => check !== 'interface'));
    });

    test.each([
      ['port', 'ip link add vx0 up type vxlan id 7 dstport 4789 dev eth0', 'ip link set vx0 down'],
      ['groups', 'sysctl -qw net.ipv4.igmp_max_memberships=0', 'sysctl -w net.ipv4.igmp_max_memberships=20'],
      [
        'firewall',
        'nft "add table inet f; add chain inet f in { type filter hook input priority 0; policy drop; }"',
        'nft insert rule inet f in udp dport 4789 accept',
      ],
    ])('%s: %s', async (check, fault, remedy) => {
      one.run('sh', '-c', fault);
      lab.scope.defer(() => void one.run('nft', 'flush', 'ruleset'));
      const sick = withoutDaemon();
      expect(sick.code).toBe(1);
      expect(sick.findings.filter(({ status }) => status === 'failed')).toMatchObject([{ check, remedy }]);
      mend(remedy);
      expect(withoutDaemon().code).toBe(0);
    });

    test("the port has Open vSwitch's device: its own command shows what for, and it is left up", async () => {
      const ovs = await OpenVswitch.start(one);
      ovs.addTunnel('tunnel7', { vni: 7, remote: two.address });
      one.ip('link', 'add', 'vxlan_sys_4789', 'up', 'type', 'vxlan', 'external', 'dstport', '4789');
      lab.scope.defer(() => void one.run('sh', '-c', 'ip link del vxlan_sys_4789 2>/dev/null || true'));
      const [fault] = withoutDaemon().findings.filter(({ check }) => check === 'port');
      expect(fault).toMatchObject({
        status: 'failed',
        message: expect.stringMatching(/vxlan_sys_4789 holds .*most likely of Open vSwitch.*ovs-vsctl del-port/),
      });
      expect(ovs.paste(fault?.remedy ?? '')).toContain('tunnel7');
    });

    test('no TUN device, and no capability', async () => {
      const wrapper = 'mount -t tmpfs none /dev/net; setpriv --bounding-set -net_admin --inh-caps -net_admin "$@"';
      const { code, findings: all } = withoutDaemon(wrapper);
      expect(code).toBe(1);
      const bad = all.filter(({ status }) => status === 'failed').map(({ check }) => check);
      expect(bad).toEqual(['tun', 'capabilities']);
      // Without that capability nft says nothing.
      expect(all.find(({ check }) => check === 'firewall')).toMatchObject({ status: 'unknown' });
      const again = withoutDaemon(
        'mount -t tmpfs none /dev/net; mkdir -p /dev/net && mknod /dev/net/tun c 10 200; "$@"',
      );
      expect(again.code).toBe(0);
    });

    test('no address, and no route', async () => {
      one.ip('addr', 'flush', 'dev', 'eth0');
      const { code, findings: all } = withoutDaemon();
      expect(code).toBe(1);
      expect(all.filter(isFault).map(({ check, status }) => [check, status])).toEqual([
        ['daemon', 'warning'],
        ['address', 'failed'],
        ['multicast-route', 'warning'],
      ]);
      one.addAddress(one.address);
      mend('ip route add 224.0.0.0/4 dev eth0');
    });

    test('a daemon that was killed is a fault', async () => {
      const { daemon } = await startVtepdVtep(one, { segments: [{ vni: 100, group: '239.1.1.1' }] });
      daemon.kill('SIGKILL');
      await daemon.ended;
      const { code, stdout } = await daemon.runCtl('doctor');
      expect(code).toBe(1);
      expect(stdout).toMatch(/^FAIL {2}daemon .*ECONNREFUSED/m);
      expect(stdout.includes('systemctl restart vtepd')).toBe(existsSync('/run/systemd/system'));
    });
  });
});

/**
 * Where packets end that is no rule of a filter: what the doctor says of it is what happens, and its remedy, run as it is printed, ends it.
 *
 *     vxlan100 ── host 1  198.18.0.1 ───┐ vtepd, with the rules
 *     vxlan100 ── host 2  198.18.0.2 ───┘ vtepd
 */
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Finding, vxlanGetsIn } from '../../support/daemon/doctor.ts';
import { startVtepdVtep, type VtepdVtep } from '../../support/daemon/vtep-host.ts';
import { command } from '../../support/host/namespaces.ts';
import { describeSystem, useLab, useScope } from '../../support/lab/lab.ts';
import { dropByControlGroup, dropByTcx, dropByXdp } from '../../support/lab/xdp.ts';
import { BROADCAST } from '../../support/traffic/frames.ts';
import { sendProbe, settle } from '../../support/traffic/probes.ts';
import { waitFor } from '../../support/wait.ts';

const PROGRAMS = new URL('../../../dist/sys/bpf-programs.js', import.meta.url);

const CLEAN = [
  'nft flush ruleset',
  'for t in nat raw mangle security filter; do iptables-legacy -t $t -F; done',
  'tc qdisc del dev eth0 clsact 2>/dev/null',
  'iptables -F; iptables -t mangle -F',
  'ip xfrm policy flush',
  'ip rule del pref 10 2>/dev/null',
  'true',
].join('\n');

const nft = (family: string, hook: string, rule: string) =>
  `nft 'add table ${family} t; add chain ${family} t c { type ${hook}; }; add rule ${family} t c ${rule}'`;
const nat = (hook: string, rule: string) => nft('ip', `nat hook ${hook} priority 0`, rule);
const filter = (rule: string) => nft('inet', 'filter hook input priority 0', rule);

describeSystem('doctor: where packets end', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  let vtep: VtepdVtep;
  let count = 0;

  const findings = async () =>
    (await vtep.daemon.get<Finding[]>('/v1/doctor')).filter(({ check }) => check === 'firewall');
  const worst = async () => (await findings())[0] as Finding;

  const getsIn = () => vxlanGetsIn(two, one);

  /** Whether a flood of host 1 gets to host 2, with the source that vtepd gave it. */
  async function getsOut(): Promise<boolean> {
    const [from, cable] = [one.packetSocket('vxlan100'), two.cable()];
    const text = `out ${++count}`;
    sendProbe(from, { dst: BROADCAST, src: '02:00:00:00:01:01', text });
    await settle();
    await settle();
    const seen = cable.select(({ bytes }) => bytes.includes(text));
    // Source address of the outer IPv4 header.
    return seen.some(({ bytes }) => Buffer.from(bytes).subarray(26, 30).join('.') === one.address);
  }

  /** The kernel's own device, whose machine goes on asking for a neighbour. */
  function vtepOn(host: typeof two, port: number): void {
    host.ip(
      'link',
      'add',
      'vx8472',
      'type',
      'vxlan',
      'id',
      '200',
      'group',
      '239.1.1.2',
      'dev',
      'eth0',
      'dstport',
      `${port}`,
    );
    lab.scope.defer(() => void host.ip('link', 'del', 'vx8472'));
    host.ip('addr', 'add', '192.0.2.2/24', 'dev', 'vx8472');
    host.ip('link', 'set', 'vx8472', 'up');
    const asking = host.spawn('ping', ['-i', '0.3', '192.0.2.1'], { stdio: 'ignore' });
    lab.scope.defer(() => void asking.kill());
  }

  describe('with a daemon', () => {
    useScope(lab);

    beforeAll(async () => {
      [vtep] = (await Promise.all(
        [one, two].map((host) => startVtepdVtep(host, { segments: [{ vni: 100, group: '239.1.1.1' }] })),
      )) as [VtepdVtep, VtepdVtep];
      // What connection tracking remembers of a flow would outlive the rule.
      one.run('sh', '-c', filter('ct state new accept'));
      one.sysctl('net/netfilter/nf_conntrack_udp_timeout', 1);
      one.run('sh', '-c', CLEAN);
      // Else the doctor would listen on other ports each time.
      await waitFor('host 2 to be heard', getsIn, (isIn) => isIn);
    }, 30_000);

    test('a peer that sends to the port of old kernels is told as such', async () => {
      await startVtepdVtep(one, { segments: [], port: 4799, flags: ['--vni', '200=239.1.1.2'] }).then(async (other) => {
        vtepOn(two, 8472);
        const finding = (await other.daemon.get<Finding[]>('/v1/doctor')).find(({ check }) => check === 'peer-port');
        expect(finding).toMatchObject({
          status: 'warning',
          object: two.address,
          message: expect.stringMatching(/sends VXLAN of VNI 200 to UDP 8472, and vtepd listens on 4799/),
          remedy: '--port 8472',
        });
        await other.stop();
      });
    });

    const IN: readonly (readonly [command: string, status: Finding['status'], gets: boolean, names: RegExp])[] = [
      [
        nat('prerouting', 'udp dport 4789 redirect to :4790'),
        'failed',
        false,
        /ip t c: .*rewrites the destination .*4790/,
      ],
      // A group's datagram becomes one for the host, which not every VNI is to hear.
      [nat('prerouting', 'udp dport 4789 redirect to :4789'), 'warning', true, /an address of the interface/],
      [nat('prerouting', 'dnat to 198.18.0.99'), 'failed', false, /198\.18\.0\.99/],
      [nat('prerouting', 'ip daddr 198.18.0.50 dnat to 198.18.0.99'), 'ok', true, /chain/],
      [
        'iptables -t nat -A PREROUTING -p udp --dport 4789 -j REDIRECT --to-ports 4790',
        'failed',
        false,
        /iptables -t nat PREROUTING/,
      ],
      [
        'iptables-legacy -t nat -A PREROUTING -p udp --dport 4789 -j DNAT --to-destination 198.18.0.1:4790',
        'failed',
        false,
        /iptables-legacy -t nat PREROUTING/,
      ],
      [nft('ip', 'filter hook prerouting priority 0', 'udp dport set 4790'), 'failed', false, /rewrites .*4790/],
      ['iptables-legacy -A INPUT -p udp --dport 4789 -j DROP', 'failed', false, /iptables-legacy INPUT drops/],
      ['iptables -t raw -A PREROUTING -p udp --dport 4789 -j DROP', 'failed', false, /-t raw PREROUTING drops/],
      ['iptables -t mangle -A PREROUTING -p udp -j DROP', 'failed', false, /-t mangle PREROUTING drops/],
      ['iptables -t security -A INPUT -p udp --dport 4789 -j DROP', 'failed', false, /-t security INPUT drops/],
      ...['netdev', 'inet'].map((family): (typeof IN)[number] => [
        nft(family, 'filter hook ingress device eth0 priority 0', 'udp dport 4789 drop'),
        'failed',
        false,
        new RegExp(`${family} t c drops`),
      ]),
      [nft('netdev', 'filter hook ingress device lo priority 0', 'drop'), 'ok', true, /chain/],
      [
        `${filter('udp dport 4789 drop').replace('add table inet t', 'add table inet t { flags dormant; }')}`,
        'ok',
        true,
        /chain/,
      ],
      ['iptables -A INPUT -s 198.18.0.0/255.255.0.255 -p udp -j DROP', 'warning', true, /may drop/],
      [filter('ip saddr . udp dport { 198.18.0.2 . 4789 } drop'), 'warning', false, /ip saddr . udp dport/],
      [filter('iifgroup 0 drop'), 'warning', false, /may drop/],
      [
        filter('ct state new limit rate 1/hour burst 1 packets accept; add rule inet t c drop'),
        'warning',
        true,
        /may drop/,
      ],
      [filter('iifname vmap { "lo" : accept, "eth*" : drop }'), 'failed', false, /iifname eth\* drop/],
      ['iptables -A INPUT -p udp -m u32 --u32 "20&0xffff=4789" -j DROP', 'warning', false, /may drop/],
      ['iptables -A INPUT -p udp -m multiport --ports 4789 -j DROP', 'warning', false, /may drop/],
      [
        'iptables -t mangle -A PREROUTING -p udp -j TPROXY --on-port 4790 --tproxy-mark 1',
        'warning',
        false,
        /may drop/,
      ],
      [filter('numgen random mod 1 0 drop'), 'warning', false, /conditions that are not evaluated/],
      [filter('@th,64,8 8 drop'), 'warning', false, /conditions that are not evaluated/],
      [filter('meta length > 60 drop'), 'warning', false, /conditions that are not evaluated/],
      [filter('meta mark 0 drop'), 'warning', false, /conditions that are not evaluated/],
      [filter('ct zone 0 drop'), 'warning', false, /conditions that are not evaluated/],
      [filter('socket transparent 0 drop'), 'warning', false, /conditions that are not evaluated/],
      [filter('quota over 1 bytes drop'), 'warning', false, /conditions that are not evaluated/],
      [filter('ct state untracked drop'), 'ok', true, /chain/],
      [
        `${nft('inet', 'filter hook prerouting priority raw', 'udp dport 4789 notrack')}; ${filter('ct state untracked drop').replaceAll('inet t', 'inet u')}`,
        'warning',
        false,
        /conditions that are not evaluated/,
      ],
      [
        `${nft('ip', 'filter hook prerouting priority raw', 'udp dport 4789 notrack')}; ${nat('prerouting', 'accept').replaceAll(' t c', ' t d').replace('add table ip t;', '')}; nft add rule ip t d udp dport 4789 redirect to :4790`,
        'ok',
        true,
        /chain/,
      ],
      [
        'ip xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 proto udp dport 4789 dir in action block',
        'unknown',
        false,
        /IPsec/,
      ],
      [
        'tc qdisc add dev eth0 clsact && tc filter add dev eth0 ingress protocol ip u32 match ip dport 4789 0xffff action mirred egress redirect dev lo',
        'unknown',
        false,
        /tc filters on eth0 ingress \(u32\)/,
      ],
      [
        `nft 'add table arp t; add chain arp t c { type filter hook input priority 0; policy drop; }'`,
        'unknown',
        true,
        /arp t c/,
      ],
      ['ip rule add to 198.18.0.77 blackhole pref 10', 'unknown', true, /ip rule/],
    ];

    test.each(IN)('in: %s: %s', async (plant, status, gets, names) => {
      one.run('sh', '-c', plant);
      lab.scope.defer(() => void one.run('sh', '-c', CLEAN));
      const finding = await worst();
      expect([finding.status, await getsIn(), finding.message]).toEqual([status, gets, expect.stringMatching(names)]);
      if (finding.remedy === null) return;
      one.run('sh', '-c', finding.remedy);
      expect((await worst()).status).toBe('ok');
      expect(await getsIn()).toBe(true);
    });

    test('in: an XDP program: unknown', async () => {
      const takeAway = dropByXdp(one, 'eth0');
      const [finding, gets] = [await worst(), await getsIn()];
      takeAway();
      expect([finding.status, gets, finding.message]).toEqual([
        'unknown',
        false,
        expect.stringContaining('an XDP program on eth0'),
      ]);
      expect((await worst()).status).toBe('ok');
      expect(await getsIn()).toBe(true);
    });

    test('in: a BPF program of tcx: unknown', async () => {
      const takeAway = dropByTcx(one, 'eth0');
      const [finding, gets] = [await worst(), await getsIn()];
      takeAway();
      expect([finding.status, gets, finding.message]).toEqual([
        'unknown',
        false,
        expect.stringContaining('BPF programs of tcx on eth0 ingress'),
      ]);
      expect((await worst()).status).toBe('ok');
      expect(await getsIn()).toBe(true);
    });

    test('what is not looked at is told of a host that is well', async () => {
      // The namespaces of `ip netns exec` hide the control groups.
      expect(await worst()).toMatchObject({
        status: 'ok',
        message: expect.stringMatching(/; BPF programs of control groups are not checked \(.+\)$/),
      });
    });

    test('BPF programs of the own control group are seen', () => {
      const root = /^\d+ \d+ \S+ \/ (\S+) .*- cgroup2 /m.exec(readFileSync('/proc/self/mountinfo', 'utf8'))?.[1];
      const folder = `${root}/${basename(lab.folder)}`;
      mkdirSync(folder);
      lab.scope.defer(() => rmdirSync(folder));
      const ask = `import(process.argv[1]).then((it) => console.log(JSON.stringify(it.controlGroupPrograms())))`;
      const look = () => {
        const words = [folder, process.execPath, '-e', ask, fileURLToPath(PROGRAMS)];
        const script = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"';
        return JSON.parse(command('sh', ['-c', script, 'sh', ...words])) as unknown;
      };
      expect(look()).toEqual({ found: [] });
      const takeAway = dropByControlGroup(folder);
      lab.scope.defer(takeAway);
      expect(look()).toEqual({ found: ['BPF programs of the control group (ingress)'] });
    });

    const OUT: typeof IN = [
      [nat('postrouting', 'oifname "eth0" masquerade'), 'ok', true, /chain/],
      [nat('postrouting', 'oifname "eth0" masquerade random'), 'warning', true, /rewrites the source/],
      [nat('postrouting', 'udp dport 4789 snat to 198.18.0.77'), 'failed', false, /198\.18\.0\.77/],
      [nat('output', 'udp dport 4789 dnat to :4790'), 'failed', true, /port 4790/],
      ['iptables -t nat -A POSTROUTING -o eth0 -j SNAT --to-source 198.18.0.77', 'failed', false, /198\.18\.0\.77/],
      [
        'iptables-legacy -t nat -A POSTROUTING -o eth0 -j SNAT --to-source 198.18.0.77',
        'failed',
        false,
        /iptables-legacy -t nat POSTROUTING/,
      ],
      [
        `nft 'add table ip t; add chain ip t sub; add rule ip t sub snat to 198.18.0.77; add chain ip t c { type nat hook postrouting priority 0; }; add rule ip t c udp dport 4789 jump sub'`,
        'failed',
        false,
        /198\.18\.0\.77/,
      ],
    ];

    test.each(OUT)('out: %s: %s', async (plant, status, gets, names) => {
      // Flows of the row before are forgotten.
      await waitFor(
        'no flow',
        async () => one.read('/proc/thread-self/net/nf_conntrack'),
        (text) => !/dport=4789/.test(text),
        { everyMs: 100 },
      );
      one.run('sh', '-c', plant);
      lab.scope.defer(() => void one.run('sh', '-c', CLEAN));
      const finding = await worst();
      expect([finding.status, await getsOut(), finding.message]).toEqual([status, gets, expect.stringMatching(names)]);
      if (finding.remedy === null) return;
      one.run('sh', '-c', finding.remedy);
      expect((await worst()).status).toBe('ok');
      await waitFor('it to get out again', getsOut, (isOut) => isOut, { everyMs: 1_200 });
    });
  });
});

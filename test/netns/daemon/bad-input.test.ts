/**
 * Everything vtepd refuses, refused in one way: one line on standard error that names the object, what is wrong and what
 * to do, the right exit code, and a host left as it was.
 *
 *     host 1  198.18.0.1 ── eth0      the daemon under test
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NotifySocket } from '../../support/daemon/notify-socket.ts';
import { startKernelVtep, startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { runVtepctl, runVtepd, startVtepd, VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { HeldTap } from '../../support/host/held-tap.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';

const GOOD = '50=239.9.9.9';
const GROUP = '239.1.1.1';

interface Refusal {
  readonly args: readonly string[];
  readonly code: 1 | 64;
  /** What the line must say: the object, the cause, the remedy. */
  readonly says: readonly (string | RegExp)[];
  readonly wrapper?: readonly string[];
  readonly socket?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Each is written wrong: exit 64, whatever the host looks like. */
const WRITTEN_WRONG: Record<string, Omit<Refusal, 'code'>> = {
  'a VNI over 16777215': { args: ['--vni', `16777216=${GROUP}`], says: ['16777216', /0.{1,4}16777215/] },
  'a VNI that is no number': { args: ['--vni', `12x=${GROUP}`], says: ['12x'] },
  'a VNI given twice': {
    args: ['--vni', `100=${GROUP}`, '--vni', '100=239.1.1.2'],
    says: ['100', /twice|already|once/],
  },
  'a group that is not multicast': {
    args: ['--vni', '100=10.1.1.1'],
    says: ['vtepd: --vni 100=10.1.1.1: 10.1.1.1 is not a multicast address (224.0.0.0/4 or ff00::/8)'],
  },
  'a remote that is multicast': { args: ['--vni', `100,remote=${GROUP}`], says: [GROUP, /multicast/] },
  'an IPv4 group with an IPv6 --local': {
    args: ['--vni', `100=${GROUP}`, '--local', 'fd00:18::1'],
    says: [GROUP, /IPv4/, /--local/],
  },
  'an unknown key': { args: ['--vni', `100=${GROUP},colour=red`], says: ['colour', /unknown|no such|not a key/i] },
  'a key with a value it does not take': {
    args: ['--vni', `100=${GROUP},learning=maybe`],
    says: ['learning', 'maybe', /on.*off/],
  },
  'a static entry with a group MAC': {
    args: ['--vni', `100=${GROUP},static=01:00:5e:00:00:01@198.18.0.2`],
    says: ['01:00:5e:00:00:01'],
  },
  'an unknown flag': { args: ['--vni', `100=${GROUP}`, '--colour', 'red'], says: ['colour'] },
  'no VNI at all': { args: [], says: ['--vni'] },
  'a TAP name over 15 characters': {
    args: ['--vni', `100=${GROUP},tap=abcdefghijklmnop`],
    says: ['abcdefghijklmnop', /15/],
  },
  'a TTL that is no number': { args: ['--vni', `100=${GROUP}`, '--ttl', 'abc'], says: ['--ttl', 'abc'] },
  'a TTL out of range': { args: ['--vni', `100=${GROUP}`, '--ttl', '256'], says: ['--ttl', '256', '255'] },
  'a port out of range': { args: ['--vni', `100=${GROUP}`, '--port', '65536'], says: ['--port', '65536', '65535'] },
  'a flag given twice': { args: ['--vni', `100=${GROUP}`, '--ttl', '1', '--ttl', '2'], says: ['--ttl'] },
  'a source-port range the wrong way round': {
    args: ['--vni', `100=${GROUP}`, '--source-port-range', '50010-50000'],
    says: ['--source-port-range', '50010-50000'],
  },
  'a pool larger than its range': {
    args: ['--vni', `100=${GROUP}`, '--source-ports', '16', '--source-port-range', '50000-50009'],
    says: ['--source-port', /16/, /10|50000-50009/],
  },
};

describeSystem('refusals', () => {
  const lab = useLab({ hosts: 1 });
  const host = lab.host(1);

  function hostState() {
    return { links: host.links().map(({ ifname }) => ifname), groups: host.joinedGroups(), udp: host.udpSockets() };
  }

  async function expectRefusal({ args, code, says, wrapper, socket, env }: Refusal): Promise<void> {
    const before = hostState();
    const socketPath = socket ?? join(lab.folder, 'refused.sock');
    const existed = existsSync(socketPath);
    const ended = await runVtepd(host, args, { socket: socketPath, ...(wrapper && { wrapper }), ...(env && { env }) });
    const lines = ended.stderr.split('\n').filter((line) => line !== '');
    expect(lines, ended.stderr).toHaveLength(1);
    for (const part of says) expect(lines[0]).toMatch(part);
    expect(lines[0]).not.toMatch(/^\s+at |node:internal|Error:.*\bat\b/);
    expect(ended.code).toBe(code);
    expect(hostState()).toEqual(before);
    expect(existsSync(socketPath)).toBe(existed);
  }

  describe('what is written is wrong: exit 64', () => {
    test.each(Object.entries(WRITTEN_WRONG))('%s', async (_, refusal) => {
      await expectRefusal({ ...refusal, code: 64 });
    });
  });

  describe('the host refuses: exit 1', () => {
    /** A good VNI first, so that there is something to undo. */
    const vnis = (...flags: string[]) => ['--vni', GOOD, ...flags.flatMap((flag) => ['--vni', flag])];

    test('an interface that does not exist', async () => {
      await expectRefusal({
        args: [...vnis(), '--dev', 'nope0'],
        code: 1,
        says: ['nope0', /no such|not exist|not found/i],
      });
    });

    test('an interface without an address', async () => {
      host.ip('link', 'add', 'bare0', 'up', 'type', 'veth', 'peer', 'name', 'bare1');
      lab.scope.defer(() => void host.ip('link', 'del', 'bare0'));
      await expectRefusal({ args: [...vnis(), '--dev', 'bare0'], code: 1, says: ['bare0', /address/] });
    });

    test.each([
      ['a kernel vxlan device', startKernelVtep, /vxlan100.*ip link set vxlan100 down/],
      ['another vtepd', startVtepdVtep, /vtepd \(pid \d+\)/],
    ] as const)('T36: a UDP port that %s holds; READY=1 is not said', async (other, startOther, holder) => {
      await startOther(host, { segments: [{ vni: 100, group: GROUP }] });
      const notify = lab.keep(new NotifySocket(join(lab.folder, `clash ${other}.sock`)));
      await expectRefusal({
        args: [...vnis(), '--dev', 'eth0'],
        code: 1,
        says: ['UDP 0.0.0.0:4789', holder, /holds UDP port 4789/, '--port'],
        env: { NOTIFY_SOCKET: notify.address },
      });
      expect(notify.lines()).toEqual([]);
    });

    test('a control socket that a live daemon answers on', async () => {
      const { socket, ctl } = await startedOther();
      await expectRefusal({
        args: [...vnis(), '--dev', 'eth0', '--port', '4790'],
        code: 1,
        says: [socket, /in use|another|running|answers/, '--socket'],
        socket,
      });
      expect(await ctl()).toMatchObject({ port: 4789 });
    });

    async function startedOther() {
      const other = await startVtepd(host, ['--dev', 'eth0', '--vni', `100=${GROUP}`]);
      return { socket: other.socket, ctl: () => other.ctl<{ port: number }>('status') };
    }

    test('a TAP name that an interface of another kind has', async () => {
      host.ip('link', 'add', 'vxlan100', 'type', 'bridge');
      lab.scope.defer(() => void host.ip('link', 'del', 'vxlan100'));
      await expectRefusal({ args: [...vnis(`100=${GROUP}`), '--dev', 'eth0'], code: 1, says: ['vxlan100', /tap/i] });
    });

    test('a TAP that another program holds', async () => {
      lab.keep(new HeldTap(host.namespace, 'vxlan100'));
      await expectRefusal({
        args: [...vnis(`100=${GROUP}`), '--dev', 'eth0'],
        code: 1,
        says: ['vxlan100', /in use|busy|held/],
      });
    });

    test('a TAP with queues, for one worker', async () => {
      host.ip('tuntap', 'add', 'dev', 'vxlan100', 'mode', 'tap', 'multi_queue');
      lab.scope.defer(() => void host.ip('link', 'del', 'vxlan100'));
      await expectRefusal({
        args: [...vnis(`100=${GROUP}`), '--dev', 'eth0'],
        code: 1,
        says: ['vxlan100', 'ip tuntap add dev vxlan100 mode tap'],
      });
    });

    test('a bridge that does not exist', async () => {
      await expectRefusal({ args: [...vnis(`100=${GROUP},bridge=nobr0`), '--dev', 'eth0'], code: 1, says: ['nobr0'] });
    });

    test('a bridge that is the underlay itself, found by the route', async () => {
      host.ip('link', 'add', 'br-under', 'up', 'type', 'bridge');
      lab.scope.defer(() => void host.ip('link', 'del', 'br-under'));
      host.ip('addr', 'add', '198.18.7.1/24', 'dev', 'br-under');
      host.ip('route', 'add', '239.7.0.0/16', 'dev', 'br-under');
      const args = ['--vni', '70=239.7.0.1,bridge=br-under'];
      await expectRefusal({ args, code: 1, says: ['br-under', /underlay/, /another bridge/] });
      expect(host.link('br-under')?.mtu).toBe(1500);
    });

    test('T27: an MTU that the underlay cannot carry', async () => {
      await expectRefusal({
        args: [...vnis(`100=${GROUP},mtu=1451`), '--dev', 'eth0'],
        code: 1,
        says: ['1451', '1450', /mtu/i],
      });
    });

    test('no CAP_NET_ADMIN', async () => {
      const wrapper = ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
      await expectRefusal({ args: [...vnis(), '--dev', 'eth0'], code: 1, says: ['CAP_NET_ADMIN', 'vxlan50'], wrapper });
    });

    test('no /dev/net/tun', async () => {
      const wrapper = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'];
      await expectRefusal({
        args: [...vnis(), '--dev', 'eth0'],
        code: 1,
        says: ['/dev/net/tun', /modprobe tun|mknod/],
        wrapper,
      });
    });
  });

  test('a control socket that a killed daemon left is replaced', async () => {
    const args = ['--dev', 'eth0', '--vni', `100=${GROUP}`];
    const killed = await startVtepd(host, args);
    killed.kill('SIGKILL');
    await killed.ended;
    expect(existsSync(killed.socket)).toBe(true);
    const next = await startVtepd(host, args, { socket: killed.socket });
    expect(await next.ctl('status')).toMatchObject({ pid: next.pid });
    await next.stop();
    expect(existsSync(killed.socket)).toBe(false);
  });

  test('without --dev: own addresses among the remotes are passed over, and a VNI without destination goes with the others', async () => {
    const flags = ['--vni', '1', '--vni', '2,remote=198.18.0.1,remote=198.18.0.2'];
    const daemon = await startVtepd(host, flags);
    expect(await daemon.ctl('status')).toMatchObject({ dev: ['eth0'], local: ['198.18.0.1'] });
    const { code, stderr } = await runVtepctl('--socket', daemon.socket, 'fdb', 'show', '--vni', '3');
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^vtepctl: VNI 3: [^\n]+\n$/) });
  });

  test('--check accepts what is right and does not look at the host', async () => {
    const before = hostState();
    const ok = new VtepdProcess(host, ['--check', '--dev', 'nope0', '--vni', `100=${GROUP},mtu=9000`]);
    expect(await ok.ended).toMatchObject({ code: 0, stderr: '' });
    expect((await runVtepd(host, ['--check', '--vni', '100=10.1.1.1'])).code).toBe(64);
    expect(hostState()).toEqual(before);
  });

  describe('vtepctl', () => {
    test('says on one line which socket does not answer, and exits 2', async () => {
      const path = join(lab.folder, 'nobody.sock');
      const { code, stdout, stderr } = await runVtepctl('--socket', path, 'fdb', 'show');
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr.trimEnd().split('\n')).toHaveLength(1);
      expect(stderr).toMatch(path);
    });

    test.each([['frobnicate'], ['fdb', 'frobnicate'], ['fdb', 'show', '--vni', 'abc'], []])(
      'wrong usage %j %j %j %j: exit 64',
      async (...words) => {
        const { code, stderr } = await runVtepctl('--socket', join(lab.folder, 'nobody.sock'), ...words);
        expect(code).toBe(64);
        expect(stderr).not.toBe('');
      },
    );
  });
});

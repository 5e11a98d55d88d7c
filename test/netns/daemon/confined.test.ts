/**
 * What a host holds or forbids without saying so: a port that a device of another namespace has, and a user namespace.
 *
 *     namespace "tenant": vxlan device made in host 1      host 1  198.18.0.1 ── vtepd
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runVtepd, startVtepd, VTEPCTL } from '../../support/daemon/vtepd-process.ts';
import { createNamespace, deleteNamespace, ip } from '../../support/host/namespaces.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly remedy: string | null;
}

const MOVED =
  /a socket of user 0 on 0\.0\.0\.0 holds UDP port 4789, .*perhaps a tunnel device of the kernel .* moved to another/;

describeSystem('confined', () => {
  const lab = useLab({ hosts: 1 });
  const host = lab.host(1);
  const ARGS = ['--dev', 'eth0', '--vni', '100=239.1.1.1'];

  function tenant(label: string): string {
    const name = createNamespace(label);
    lab.scope.defer(() => deleteNamespace(name));
    return name;
  }

  /** What one sees who has no daemon; exit code 1 is no error. */
  function findingsOf(wrapper = ''): Finding[] {
    const words = [process.execPath, VTEPCTL, '--socket', join(lab.folder, 'none.sock'), '--json', 'doctor'];
    return JSON.parse(host.run('sh', '-c', `${wrapper} "$@" || true`, 'sh', ...words)) as Finding[];
  }

  const portFinding = () => findingsOf().find(({ check }) => check === 'port');

  test('a device that moved away holds the port here, and is called possible', async () => {
    const away = tenant('away');
    host.ip('link', 'add', 'vxd', 'type', 'vxlan', 'id', '7', 'remote', '198.18.0.9', 'dev', 'eth0', 'dstport', '4789');
    host.ip('link', 'set', 'vxd', 'netns', away);
    ip('-n', away, 'link', 'set', 'vxd', 'up');
    const { code, stderr } = await runVtepd(host, ARGS);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(MOVED) });
    expect(portFinding()).toMatchObject({
      status: 'failed',
      message: expect.stringMatching(MOVED),
      remedy: null,
    });
    ip('-n', away, 'link', 'del', 'vxd');
    expect(portFinding()).toMatchObject({ status: 'ok' });
  });

  test('a device that came from elsewhere holds the port there, and is not named', async () => {
    const home = tenant('home');
    ip('-n', home, 'link', 'add', 'vxe', 'type', 'vxlan', 'id', '8', 'remote', '198.18.0.9', 'dstport', '4789');
    ip('-n', home, 'link', 'set', 'vxe', 'netns', host.namespace);
    lab.scope.defer(() => void host.ip('link', 'del', 'vxe'));
    host.ip('link', 'set', 'vxe', 'up');
    expect(portFinding()).toMatchObject({ status: 'ok' });
    const daemon = await startVtepd(host, ARGS);
    expect((await daemon.get<Finding[]>('/v1/doctor')).find(({ check }) => check === 'port')?.status).toBe('ok');
  });

  test('in a user namespace it starts, and the doctor says what is true there', () => {
    const groups = join(lab.folder, 'group');
    writeFileSync(groups, 'root:x:0:\nvtepd:x:999:\n');
    const script = `mount --bind ${groups} /etc/group
      ip link set lo up; ip link add eth0 type veth peer name x; ip addr add 198.18.0.1/24 dev eth0; ip link set x up; ip link set eth0 up
      "$1" "$2/vtepd" --dev eth0 --vni 100,remote=198.18.0.2 --socket "$3" >/dev/null 2>&1 & daemon=$!
      for i in $(seq 100); do [ -S "$3" ] && break; sleep 0.1; done
      stat -c %g "$3"; "$1" "$2/vtepctl" --socket "$3" --json doctor; kill $daemon; wait $daemon`;
    const words = [process.execPath, VTEPCTL.replace(/\/vtepctl$/, ''), join(lab.folder, 'user.sock')];
    const output = host.run('unshare', '-Urnm', 'bash', '-c', script, 'bash', ...words);
    const [group, json] = [output.slice(0, output.indexOf('\n')), output.slice(output.indexOf('\n'))];
    expect(group).toBe('0');
    const findings = JSON.parse(json) as Finding[];
    const told = (check: string) => findings.find((each) => each.check === check);
    expect(told('capabilities')).toMatchObject({ status: 'ok', message: 'CAP_NET_ADMIN, within its user namespace' });
    expect(told('tun')).toMatchObject({ status: 'ok' });
  });

  test('a user namespace without a network of its own is told apart', () => {
    expect(findingsOf('unshare -Ur').find(({ check }) => check === 'capabilities')).toMatchObject({
      status: 'failed',
      message: expect.stringContaining('the network namespace belongs to another one'),
      remedy: null,
    });
  });
});

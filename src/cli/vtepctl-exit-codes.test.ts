import { linkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ControlServer } from '../api/server/server.ts';
import { openServer } from '../api/server/server-rig.ts';
import { runVtepctl } from './vtepctl-rig.ts';

let directory: string;
let path: string;
let server: ControlServer;
let close: () => Promise<void>;

beforeEach(async () => {
  ({ directory, path, server, close } = await openServer());
});

afterEach(() => close());

/** Runs against the daemon of this test; words are split at blanks. */
const ctl = (line: string) => runVtepctl(['--socket', path, ...line.split(' ').filter(Boolean)]);

describe('exit 1: refused or not found', () => {
  it.each([
    ['vni show 999', 'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs'],
    [
      'vtep show 198.18.0.9',
      'VTEP 198.18.0.9: it is in no entry and no flood list of this vtepd: `vtepctl vtep show` lists the known VTEPs',
    ],
    ['stats --vni 999', 'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs'],
    ['drops --vni 999', 'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs'],
    ['vni del 999', 'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs'],
    ['vni add 100', 'vni add 100: VNI 100 is already given'],
    ['remote add 198.18.0.9 --vni 999', 'VNI 999: this vtepd does not have it: `vtepctl vni show` lists its VNIs'],
    ['remote del 198.18.0.9 --vni 100', 'remote 198.18.0.9 of VNI 100: it is not in the flood list'],
    ['remote add 239.1.1.1 --vni 100', 'remote 239.1.1.1: a multicast address: give the unicast address of a VTEP'],
    ['fdb del 02:00:00:00:00:77 --vni 100', '02:00:00:00:00:77 in VNI 100: no such entry'],
    [
      'fdb add 02:00:00:00:00:01 --vni 200 --vtep 198.18.0.9',
      '02:00:00:00:00:01 in VNI 200: static for fd00:18::3: delete that entry first',
    ],
    [
      'fdb add 01:00:5e:00:00:01 --vni 100 --vtep local',
      'mac 01:00:5e:00:00:01: a group address: give the MAC address of one station',
    ],
    [
      'fdb add 02:00:00:00:00:77 --vni 100 --vtep 239.1.1.1',
      'vtep 239.1.1.1: a multicast address: give the unicast address of a VTEP',
    ],
  ])('%s', async (line, message) => {
    expect(await ctl(line)).toEqual({ exitCode: 1, stdout: '', stderr: `vtepctl: ${message}\n` });
    expect(await ctl(`${line} --json`)).toEqual({ exitCode: 1, stdout: '', stderr: `vtepctl: ${message}\n` });
  });
});

describe('exit 2: daemon not reachable', () => {
  const unreachable = (at: string, rest: string) => ({
    exitCode: 2,
    stdout: '',
    stderr: `vtepctl: control socket ${at}: ${rest}\n`,
  });
  const remedy = 'start vtepd or name its socket with --socket';

  it('absent', async () => {
    const at = join(directory, 'none');
    const expected = unreachable(at, `no vtepd listens there (ENOENT): ${remedy}`);
    for (const line of ['status', 'vni show', 'fdb flush', 'drops', 'fdb add 02:00:00:00:00:01 --vni 1 --vtep local']) {
      expect(await runVtepctl(['--socket', at, ...line.split(' ')])).toEqual(expected);
    }
  });

  it('stopped', async () => {
    await server.close();
    expect(await ctl('status')).toEqual(unreachable(path, `no vtepd listens there (ENOENT): ${remedy}`));
  });

  it('stale', async () => {
    const at = join(directory, 'stale');
    const dying = createServer();
    await new Promise<void>((resolve) => dying.listen(`${at}.dying`, resolve));
    linkSync(`${at}.dying`, at);
    await new Promise((resolve) => dying.close(resolve));
    expect(await runVtepctl(['--socket', at, 'status'])).toEqual(
      unreachable(at, `no vtepd listens there (ECONNREFUSED): ${remedy}`),
    );
  });

  it('a file that is no socket', async () => {
    const at = join(directory, 'file');
    writeFileSync(at, '');
    expect(await runVtepctl(['--socket', at, 'status'])).toEqual(
      unreachable(at, `no vtepd listens there (ECONNREFUSED): ${remedy}`),
    );
  });

  it('hung', async () => {
    const at = join(directory, 'hung');
    const hung = createServer(() => {});
    await new Promise<void>((resolve) => hung.listen(at, resolve));
    expect(await runVtepctl(['--socket', at, 'status'], { timeoutMs: 100 })).toEqual(
      unreachable(at, 'no answer within 0.1 s: look at the log of vtepd, or restart it'),
    );
    hung.close();
  });
});

describe('exit 64: wrong usage', () => {
  const add = 'usage: vtepctl fdb add MAC --vni N --vtep IP|local';
  const show = 'usage: vtepctl fdb show [--vni N] [--mac M] [--vtep IP|local] [--static] [--dynamic] [--evpn]';
  it.each([
    ['fdb', 'fdb: no command: one of show, add, del, flush, monitor'],
    ['fdb shwo', 'fdb shwo: unknown command: did you mean fdb show?'],
    ['fdb trace', 'fdb trace: unknown command: the commands are show, add, del, flush, monitor'],
    ['fdb monitor --vni 1', '--vni: unknown flag: usage: vtepctl fdb monitor'],
    ['fbd show --bni 3', 'fbd: unknown command: did you mean fdb?'],
    ['tracer', 'tracer: unknown command: did you mean trace?'],
    ['log-level', 'LEVEL: missing: usage: vtepctl log-level LEVEL'],
    ['log-level loud', 'LEVEL loud: not a level: give one of fatal, error, warn, info, debug, trace, silent'],
    ['vni sho', 'vni sho: unknown command: did you mean vni show?'],
    ['vni add', 'ENTRY: missing: usage: vtepctl vni add VNI[=GROUP][,key=value]…'],
    ['vni add 300=10.1.1.1', 'vni add 300=10.1.1.1: 10.1.1.1 is not a multicast address (224.0.0.0/4 or ff00::/8)'],
    ['vni add 300,tpa=x', 'vni add 300,tpa=x: unknown key tpa: did you mean tap?'],
    ['vni add 300 301', '301: unexpected: usage: vtepctl vni add VNI[=GROUP][,key=value]…'],
    ['vni del', 'N: missing: usage: vtepctl vni del N'],
    ['vni del x', 'N x: not a VNI: give a number from 0 to 16777215'],
    ['remote', 'remote: no command: one of add, del, show'],
    ['remote add --vni 100', 'IP: missing: usage: vtepctl remote add IP --vni N'],
    ['remote add 198.18.0.9', '--vni: missing: usage: vtepctl remote add IP --vni N'],
    ['remote del 198.18.0 --vni 100', 'IP 198.18.0: not an IP address without zone: write it as 192.0.2.1'],
    ['remote add 198.18.0.9 --vni -1', '--vni -1: not a VNI: give a number from 0 to 16777215'],
    ['--jsn', '--jsn: unknown flag: did you mean --json?'],
    ['-x status', '-x: unknown flag'],
    ['--vni 3', '--vni: unknown flag'],
    ['status -v', '-v: unknown flag: usage: vtepctl status'],
    ['status --no-json', '--no-json: unknown flag: usage: vtepctl status'],
    ['doctor eth0', 'eth0: unexpected: usage: vtepctl doctor'],
    ['status extra', 'extra: unexpected: usage: vtepctl status'],
    ['fdb show --vnis 3', '--vnis: unknown flag: did you mean --vni?'],
    ['fdb show --vtep.x 3', `--vtep.x: unknown flag: ${show}`],
    ['fdb show extra', `extra: unexpected: ${show}`],
    ['fdb show -- --vni', `--vni: unexpected: ${show}`],
    ['fdb show --vni', '--vni: without a value: give it one'],
    ['fdb show --vni --json', '--vni: without a value: give it one'],
    ['fdb show --vni=', '--vni: without a value: give it one'],
    ['fdb show --vni 1 --vni 2', '--vni: given more than once: give it once'],
    ['status --socket x --socket y', '--socket: given more than once: give it once'],
    ['fdb show --vni -5', '--vni -5: not a VNI: give a number from 0 to 16777215'],
    ['fdb show --vni 16777216', '--vni 16777216: not a VNI: give a number from 0 to 16777215'],
    ['fdb show --vni 0x64', '--vni 0x64: not a VNI: give a number from 0 to 16777215'],
    ['fdb show --mac 1:2', '--mac 1:2: not a MAC address: write it as 02:00:00:00:00:01'],
    ['fdb show --vtep fe80::1%eth0', "--vtep fe80::1%eth0: not an IP address without zone: give one, or 'local'"],
    ['fdb show --static --dynamic', '--static: excludes --dynamic: give one of them, or none for all types'],
    ['fdb show --evpn --dynamic', '--dynamic: excludes --evpn: give one of them, or none for all types'],
    ['vni show abc', 'N abc: not a VNI: give a number from 0 to 16777215'],
    ['vtep show local', 'IP local: not an IP address without zone: write it as 192.0.2.1'],
    ['drops --vni abc', '--vni abc: not a VNI: give a number from 0 to 16777215'],
    ['fdb add', `MAC: missing: ${add}`],
    ['fdb add 02:00:00:00:00:01 --vtep local', `--vni: missing: ${add}`],
    ['fdb add 02:00:00:00:00:01 --vni 1', `--vtep: missing: ${add}`],
    ['fdb add zz --vni 1 --vtep local', 'MAC zz: not a MAC address: write it as 02:00:00:00:00:01'],
    ['fdb del 02:00:00:00:00:01', '--vni: missing: usage: vtepctl fdb del MAC --vni N'],
  ])('%s', async (line, message) => {
    // No daemon is asked: the socket is not there.
    const outcome = await runVtepctl(line.split(' '));
    if (line.includes('--socket')) expect(outcome.stderr).toBe(`vtepctl: ${message}\n`);
    else expect(outcome).toEqual({ exitCode: 64, stdout: '', stderr: `vtepctl: ${message}\n` });
    expect(outcome.exitCode).toBe(64);
  });

  it.each([[''], ['--json'], ['--socket x']])('no command (%j): usage', async (line) => {
    const { exitCode, stdout, stderr } = await runVtepctl(line.split(' ').filter(Boolean));
    expect(exitCode).toBe(64);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^usage: vtepctl \[--socket PATH\] \[--json\] COMMAND\n/);
    expect(stderr).toContain('vtepctl fdb ');
  });
});

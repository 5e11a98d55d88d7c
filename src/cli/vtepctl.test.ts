import { Writable } from 'node:stream';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EvpnRoutesSchema, EvpnSchema } from '../api/evpn-schemas.ts';
import type { MemoryDaemon, MemoryDaemonState } from '../api/memory-daemon.ts';
import {
  DropsSchema,
  FdbEntriesSchema,
  type FdbEntry,
  FindingsSchema,
  FloodMembersSchema,
  FlushedSchema,
  StatsSchema,
  StatusSchema,
  VniStatusesSchema,
  VtepsSchema,
} from '../api/schemas.ts';
import { openServer } from '../api/server/server-rig.ts';
import type { IpAddress, MacAddress } from '../lib/addresses.ts';
import { main } from './vtepctl.ts';
import { runVtepctl, Sink, type Terminal } from './vtepctl-rig.ts';

let path: string;
let state: MemoryDaemonState;
let daemon: MemoryDaemon;
let close: () => Promise<void>;

beforeEach(async () => {
  ({ path, state, daemon, close } = await openServer());
});

afterEach(() => close());

/** Runs against the daemon of this test; words are split at blanks. */
const ctl = (line: string, terminal?: Terminal) =>
  runVtepctl(['--socket', path, ...line.split(' ').filter(Boolean)], terminal);
const done = (stdout: string) => ({ exitCode: 0, stdout, stderr: '' });

describe('text', () => {
  it('fdb show', async () => {
    expect(await ctl('fdb show --vni 100')).toEqual(
      done(
        [
          'VNI  MAC                VTEP        TYPE     AGE  MOVES',
          '100  02:00:00:00:00:01  local       dynamic  3s   0',
          '100  02:00:00:00:00:02  198.18.0.2  dynamic  1s   0',
          '',
        ].join('\n'),
      ),
    );
  });

  it('fdb show of static entries has no age', async () => {
    expect(await ctl('fdb show --static')).toEqual(
      done(
        'VNI  MAC                VTEP        TYPE    AGE  MOVES\n200  02:00:00:00:00:01  fd00:18::3  static  -    0\n',
      ),
    );
  });

  it('fdb show of what EVPN placed has no age, and fdb del refuses it in one line', async () => {
    const [entry] = state.entries;
    state.entries.push({
      ...(entry as FdbEntry),
      ...{ vni: 100, mac: '02:00:00:00:00:0e' as MacAddress, vtep: '198.18.0.9' as IpAddress, type: 'evpn' },
    });
    expect(await ctl('fdb show --evpn')).toEqual(
      done('VNI  MAC                VTEP        TYPE  AGE  MOVES\n100  02:00:00:00:00:0e  198.18.0.9  evpn  -    0\n'),
    );
    const { exitCode, stderr } = await ctl('fdb del 02:00:00:00:00:0e --vni 100');
    expect([exitCode, stderr]).toEqual([
      1,
      'vtepctl: 02:00:00:00:00:0e in VNI 100: a control plane placed this entry: add a static entry, which takes precedence\n',
    ]);
  });

  it('fdb show of nothing is the header alone', async () => {
    expect(await ctl('fdb show --vni 7')).toEqual(done('VNI  MAC  VTEP  TYPE  AGE  MOVES\n'));
  });

  it('vni show', async () => {
    expect(await ctl('vni show')).toEqual(
      done(
        [
          'VNI  NAME  GROUP      REMOTES                TAP       MTU   BRIDGE  VLAN  LEARNING  MACS  JOINED  STATUS',
          '100  red   239.1.1.1  -                      vxlan100  1450  br0     -     on        2     yes     ok',
          '200  -     -          198.18.0.2,198.18.0.3  vxlan200  1450  -       -     off       1     -       TAP is down',
          '',
        ].join('\n'),
      ),
    );
  });

  it('vni show does not pass control characters of a name on', async () => {
    Object.assign(state.vnis[0] as object, { name: 'a\u001b[31mb' });
    expect((await ctl('vni show 100')).stdout).toContain('100  a?[31mb  239.1.1.1');
  });

  it('evpn show', async () => {
    expect(await ctl('evpn show')).toEqual(
      done(
        [
          ...['speaker: 127.0.0.1:50051', 'session: up for 65s', 'api: v4', 'as: 65000', 'router id: 198.18.0.1'],
          ...['connections: 1', 'peer: 198.18.0.9, established', 'routes in: 1 of type 2, 1 of type 3, 0 others'],
          ...['routes out: 2 of type 2, 1 of type 3', 'pending: 0', 'refused: 0', ''],
          'VNI  CONTROL  RD              IMPORT  EXPORT     VTEPS  MACS IN  IPS IN  MACS OUT  IPS OUT  ANNOUNCED',
          '100  both     198.18.0.1:100  *:100   65000:100  1      0        0       1         1        yes',
          '',
        ].join('\n'),
      ),
    );
  });

  it('evpn show of a session that is down', async () => {
    const { evpn } = state;
    const peers = [
      { address: '198.18.0.8', established: false, evpn: true, endOfRib: false },
      { address: '198.18.0.9', established: true, evpn: true, endOfRib: false },
      { address: '198.18.0.10', established: true, evpn: false, endOfRib: false },
    ];
    Object.assign(evpn?.session as object, {
      state: 'connecting',
      error: 'ECONNREFUSED',
      dialect: null,
      asn: null,
      peers,
    });
    const { stdout } = await ctl('evpn show');
    expect(stdout).toContain('\nsession: connecting for 65s\nlast error: ECONNREFUSED\napi: -\nas: -\n');
    expect(stdout).toContain(
      '\npeer: 198.18.0.8, down\npeer: 198.18.0.9, established, has not sent all routes\npeer: 198.18.0.10, without l2vpn-evpn\n',
    );
  });

  const ROUTES = [
    'TYPE  VNI  MAC                IP          VTEP        LABEL  SEQUENCE  RD              TARGETS    UNUSED BECAUSE',
    '3     100  -                  198.18.0.2  198.18.0.2  100    -         198.18.0.2:100  65000:100  -',
    '2     -    02:00:00:00:00:0e  -           198.18.0.2  100    3 sticky  198.18.0.2:100  65000:7    no VNI imports one of its route targets',
    '',
  ];

  it('evpn routes', async () => {
    expect(await ctl('evpn routes')).toEqual(done(ROUTES.join('\n')));
    expect((await ctl('evpn routes --unused')).stdout.split('\n')).toHaveLength(3);
    expect((await ctl('evpn routes --type 3 --vni 100')).stdout.split('\n')).toHaveLength(3);
    expect((await ctl('evpn routes --type 2 --vni 100')).stdout.split('\n')).toHaveLength(2);
  });

  it('evpn routes with a reason that is not known yet', async () => {
    Object.assign(state.evpnRoutes[1] as object, { unused: 'bad-weather' });
    expect((await ctl('evpn routes')).stdout).toMatch(/ bad-weather$/m);
  });

  it.each(['evpn show', 'evpn routes'])('%s without EVPN is refused in one line', async (line) => {
    state.evpn = undefined;
    const stderr = 'vtepctl: evpn: this vtepd runs without BGP EVPN: start vtepd with --evpn ADDR\n';
    expect(await ctl(line)).toEqual({ exitCode: 1, stdout: '', stderr });
  });

  it.each([
    ['evpn routes --type 5', '--type 5: out of range: give a whole number from 2 to 3'],
    ['evpn routes --vni x', '--vni x: not a VNI: give a number from 0 to 16777215'],
  ])('%s is refused', async (line, message) => {
    expect(await ctl(line)).toEqual({ exitCode: 64, stdout: '', stderr: `vtepctl: ${message}\n` });
  });

  it('status', async () => {
    expect(await ctl('status')).toEqual(
      done(
        [
          ...['version: 0.1.0', 'pid: 4711', 'uptime: 3725s', 'local: 198.18.0.1', 'dev: eth0', 'port: 4789'],
          ...['workers: 1', 'offload: tapGso, udpGso', 'vnis: 2', 'macs: 3', 'vteps: 2'],
          'limits: fdb-entries 3 of 1048576',
          ...['querier: eth0 IPv4: 198.18.0.9, heard 3 s ago', ''],
        ].join('\n'),
      ),
    );
  });

  it.each([
    [{ querier: '198.18.0.1', own: true, lastHeard: null }, 'eth0 IPv4: 198.18.0.1, this daemon'],
    [{ querier: null, lastHeard: 260 }, 'eth0 IPv4: none heard for 260 s'],
    [{ querier: null, lastHeard: null, since: 12 }, 'eth0 IPv4: none heard for 12 s'],
    [{ watching: false, since: null, querier: null }, 'eth0 IPv4: unknown: vtepd lacks CAP_NET_RAW'],
    [{ family: 6, querier: 'fe80::9', lastHeard: 0 }, 'eth0 IPv6: fe80::9, heard 0 s ago'],
  ])('status shows the querier: %j', async (differs, text) => {
    Object.assign(state.status.queriers[0] as object, differs);
    expect((await ctl('status')).stdout).toContain(`\nquerier: ${text}\n`);
  });

  it.each([
    [{ sockets: 1, vteps: ['198.18.0.2'] }, '1 socket for now, after a message of several VNIs from 198.18.0.2'],
    [{ sockets: 2, vteps: [] }, '2 sockets for now, after a message of several VNIs'],
  ])('status shows sockets that do without UDP_GRO: %j', async (unmerged, text) => {
    Object.assign(state.status, { unmerged });
    expect((await ctl('status')).stdout).toContain(`\noffload: tapGso, udpGso\nunmerged: ${text}\n`);
  });

  it('config show prints what --config reads', async () => {
    const { exitCode, stdout } = await ctl('config show');
    expect([exitCode, stdout]).toEqual([0, 'vnis:\n  - vni: 100\n  - vni: 200\n']);
    expect(JSON.parse((await ctl('config show --json')).stdout)).toEqual({ vnis: [{ vni: 100 }, { vni: 200 }] });
  });

  it('reload and log-level say nothing', async () => {
    expect([await ctl('reload'), daemon.reloads]).toEqual([done(''), 1]);
    expect([await ctl('log-level debug'), daemon.logLevel]).toEqual([done(''), 'debug']);
  });

  it('status shows what is absent as -', async () => {
    Object.assign(state.status, { local: [], dev: [], offload: { tapGso: false, udpGso: false, udpGro: false } });
    expect((await ctl('status')).stdout).toMatch(/local: -\ndev: -\n(.*\n)*offload: -\n/);
  });

  it('remote show', async () => {
    const list =
      'VNI  REMOTE      ORIGIN  STATE\n' + //
      '200  198.18.0.2  static  sent\n' +
      '200  198.18.0.3  static  sent\n';
    expect(await ctl('remote show')).toEqual(done(list));
    expect(await ctl('remote show --vni 200')).toEqual(done(list));
    expect((await ctl('remote show --vni 100')).stdout.split('\n')).toHaveLength(2);
    expect((await ctl('remote show --vni 7')).stderr).toMatch(/VNI 7/);
  });

  it('vtep show', async () => {
    const [first, second] = [
      'VTEP        MACS  RX-PACKETS  RX-BYTES  TX-PACKETS  TX-BYTES  DROPS  HEARD  PATH-MTU\n' +
        '198.18.0.2  1     10          980       12          1176      2      1s     1400\n',
      'fd00:18::3  1     0           0         0           0         0      -      -\n',
    ];
    expect(await ctl('vtep show')).toEqual(done(first + second));
    expect((await ctl('vtep show 198.18.0.2')).stdout.split('\n')).toHaveLength(3);
  });

  it('stats', async () => {
    const workers = '\nWORKER  BUSY\n0       1.2%\n';
    const headings = [
      'VNI  NAME  MACS  RX-PACKETS  RX-BYTES  TX-PACKETS  TX-BYTES  FLOODED  MOVES  EVICTIONS  RX-DROPS  TX-DROPS\n',
      '100  red   2     10          980       12          1176      3        1      0          7         12\n',
      '200  -     1     0           0         0           0         0        0      0          0         0\n',
    ];
    expect(await ctl('stats')).toEqual(done(headings.join('') + workers));
    expect((await ctl('stats --vni 200')).stdout).toMatch(/^VNI .*\n200 .*\n\nWORKER/);
  });

  it('drops shows reasons that occurred', async () => {
    expect(await ctl('drops')).toEqual(
      done('DIRECTION  REASON       COUNT\nrx         unknown-vni  7\ntx         no-remote    12\n'),
    );
  });

  it('drops without any', async () => {
    Object.assign(state.drops, { rx: { short: 0 }, tx: { short: 0 } });
    expect(await ctl('drops --vni 100')).toEqual(done('no drops\n'));
  });

  it('trace', async () => {
    const [known, unknown] = ['02:00:00:00:00:02', '02:00:00:00:00:09'];
    const trace = (vni: number, dst: string, rest = '') =>
      ctl(`trace --vni ${vni} --src 02:00:00:00:00:01 --dst ${dst} ${rest}`);
    expect(await trace(100, known)).toEqual(
      done(`destination ${known}: known at 198.18.0.2\nforwarded to 198.18.0.2\n`),
    );
    expect((await trace(100, unknown)).stdout).toMatch(/\nflooded to 239\.1\.1\.1\n$/);
    expect((await trace(200, unknown)).stdout).toMatch(/\nflooded to 2 remotes\n$/);
    state.vnis[0]?.remotes.push('198.18.0.2' as IpAddress);
    expect((await trace(100, unknown)).stdout).toMatch(/\nflooded to 239\.1\.1\.1 and 1 remote\n$/);
    expect(await trace(100, '02:00:00:00:00:01')).toEqual(done('dropped: local\n'));
    expect(await trace(100, known, '--vtep 198.18.0.2 --vlan 5 --size 1500')).toEqual(done('forwarded to vxlan100\n'));
    expect(JSON.parse((await trace(100, known, '--json')).stdout)).toMatchObject({
      ...{ direction: 'tx', verdict: 'forwarded', reason: null, destinations: ['198.18.0.2'] },
    });
    expect(await trace(7, known)).toMatchObject({ exitCode: 1, stdout: '' });
  });

  it.each([
    ['trace --vni 100 --src 02:00:00:00:00:01', '--dst: missing: usage: vtepctl trace --vni N --src MAC --dst MAC'],
    ['trace --vni 1 --src x --dst x', '--src x: not a MAC address'],
    ['trace --vni 1 --src 02:00:00:00:00:01 --dst 02:00:00:00:00:02 --vlan 4095', '--vlan 4095: out of range: give a'],
    ['trace --vni 1 --src 02:00:00:00:00:01 --dst 02:00:00:00:00:02 --size 1e3', '--size 1e3: out of range: give a'],
  ])('%s is wrong usage', async (line, message) => {
    const { exitCode, stderr } = await ctl(line);
    expect([exitCode, stderr]).toEqual([64, expect.stringContaining(`vtepctl: ${message}`)]);
  });

  it('doctor', async () => {
    expect(await ctl('doctor')).toEqual(
      done(
        [
          'ok    tun      /dev/net/tun  can be opened',
          'warn  mtu      veth1         MTU 1500',
          '      ip link set veth1 mtu 1450',
          '?     querier  eth0, IGMP    none heard yet',
          '',
        ].join('\n'),
      ),
    );
  });

  it('doctor exits with 1 where a check failed', async () => {
    state.findings.push({ check: 'port', status: 'failed', object: 'UDP 4789', message: 'taken', remedy: null });
    const { exitCode, stdout } = await ctl('doctor');
    expect(exitCode).toBe(1);
    expect(stdout).toContain('FAIL  port     UDP 4789      taken\n');
    expect(await ctl('doctor --json')).toMatchObject({ exitCode: 1, stderr: '' });
  });

  it.each([
    ['fdb add 02:00:00:00:00:AA --vni 100 --vtep 198.18.0.9', ''],
    ['fdb add 02:00:00:00:00:aa --vni=100 --vtep=local', ''],
    ['fdb del 02:00:00:00:00:01 --vni 100', ''],
    ['fdb flush', '2 entries removed\n'],
    ['fdb flush --vtep local', '1 entry removed\n'],
    ['fdb flush --all --vni 100 --mac 02:00:00:00:00:09', '0 entries removed\n'],
    ['fdb flush --all', '3 entries removed\n'],
    ['vni add 300', ''],
    ['vni add 300=239.1.1.3,name=green,remote=198.18.0.2', ''],
    ['vni del 100', ''],
    ['remote add 198.18.0.9 --vni 100', ''],
    ['remote add 198.18.0.2 --vni=200', ''],
    ['remote del 198.18.0.2 --vni 200', ''],
  ])('%s', async (line, text) => {
    expect(await ctl(line)).toEqual(done(text));
  });
});

describe('--json', () => {
  it.each([
    ['fdb show', FdbEntriesSchema, () => [state.entries[2], state.entries[1], state.entries[0]]],
    ['fdb show --dynamic --vtep local', FdbEntriesSchema, () => [state.entries[2]]],
    ['fdb show --vni 7', FdbEntriesSchema, () => []],
    ['vni show', VniStatusesSchema, () => state.vnis],
    ['vni show 200', VniStatusesSchema, () => [state.vnis[1]]],
    ['status', StatusSchema, () => state.status],
    ['drops', DropsSchema, () => state.drops],
    ['vtep show', VtepsSchema, () => state.vteps],
    ['vtep show fd00:18:0::3', VtepsSchema, () => [state.vteps[1]]],
    ['remote show --vni 200', FloodMembersSchema, () => state.vnis[1]?.remotes.map(memberOf)],
    ['evpn show', EvpnSchema, () => state.evpn],
    ['evpn routes', EvpnRoutesSchema, () => state.evpnRoutes],
    ['evpn routes --unused', EvpnRoutesSchema, () => [state.evpnRoutes[1]]],
    ['evpn routes --type 3', EvpnRoutesSchema, () => [state.evpnRoutes[0]]],
    ['stats', StatsSchema, () => state.stats],
    ['stats --vni 100', StatsSchema, () => ({ ...state.stats, vnis: [state.stats.vnis[0]] })],
    ['doctor', FindingsSchema, () => state.findings],
  ] as [string, TSchema, () => unknown][])('%s, before the command and after it', async (line, schema, expected) => {
    const { exitCode, stdout } = await ctl(`--json ${line}`);
    expect(exitCode).toBe(0);
    expect(stdout.endsWith('\n')).toBe(true);
    expect(JSON.parse(stdout)).toEqual(expected());
    expect(Compile(schema).Check(JSON.parse(stdout))).toBe(true);
    expect(await runVtepctl([...line.split(' '), '--socket', path, '--json'])).toEqual(done(stdout));
  });

  it('changes answer with what they changed', async () => {
    const add = await ctl('fdb add 02:00:00:00:00:AA --vni 100 --vtep 198.18.0.9 --json');
    expect(JSON.parse(add.stdout)).toEqual({ vni: 100, mac: '02:00:00:00:00:aa', vtep: '198.18.0.9' });
    const del = await ctl('fdb del 02:00:00:00:00:aa --vni 100 --json');
    expect(JSON.parse(del.stdout)).toEqual({ vni: 100, mac: '02:00:00:00:00:aa' });
    const remote = { vni: 100, remote: '198.18.0.9' };
    expect(JSON.parse((await ctl('remote add 198.18.0.9 --vni 100 --json')).stdout)).toEqual(remote);
    expect(state.vnis[0]?.remotes).toEqual(['198.18.0.9']);
    expect(JSON.parse((await ctl('--json remote del 198.18.0.9 --vni 100')).stdout)).toEqual(remote);
    expect(state.vnis[0]?.remotes).toEqual([]);
    const vni = JSON.parse((await ctl('vni add 300=239.1.1.3 --json')).stdout);
    expect(vni).toEqual(state.vnis[2]);
    expect(vni).toMatchObject({ vni: 300, group: '239.1.1.3', tap: 'vxlan300' });
    expect(JSON.parse((await ctl('vni del 300 --json')).stdout)).toEqual({ vni: 300 });
    expect(state.vnis).toHaveLength(2);
    const flush = JSON.parse((await ctl('fdb flush --json')).stdout);
    expect(flush).toEqual({ removed: 2 });
    expect(Compile(FlushedSchema).Check(flush)).toBe(true);
  });
});

describe('help and version', () => {
  it.each([
    ['--help', /^usage: vtepctl \[--socket PATH\] \[--json\] COMMAND\n/],
    ['fdb --help', /^usage: vtepctl fdb COMMAND\n/],
    ['fdb add --help', /^usage: vtepctl fdb add MAC --vni N --vtep IP\|local\n/],
    ['vni show --help', /^usage: vtepctl vni show \[N\]\n/],
    ['vni add --help', /^usage: vtepctl vni add VNI\[=GROUP\]\[,key=value\]…\n/],
    ['remote --help', /^usage: vtepctl remote COMMAND\n/],
    ['--version', /^\d+\.\d+\.\d+.*\n$/],
  ])('%s', async (line, text) => {
    const { exitCode, stdout, stderr } = await runVtepctl(line.split(' '));
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(text);
  });
});

describe('the terminal', () => {
  it.each([
    [{ isTTY: true }, true],
    [{ isTTY: true, env: { NO_COLOR: '' } }, true],
    [{ isTTY: true, env: { NO_COLOR: '1' } }, false],
    [{ isTTY: true, env: { TERM: 'dumb' } }, false],
    [{ isTTY: false, env: { FORCE_COLOR: '1' } }, false],
  ])('%j: colour %s', async (terminal, coloured) => {
    const { stdout } = await ctl('fdb show', terminal);
    expect(stdout.includes('\u001b[')).toBe(coloured);
    if (coloured) expect(stdout.startsWith('\u001b[1mVNI  MAC ')).toBe(true);
    expect((await ctl('fdb show --json', terminal)).stdout).not.toContain('\u001b');
  });

  it.each([
    ['EPIPE', 0, ''],
    [
      'ENOSPC',
      1,
      'vtepctl: standard output: ENOSPC, no luck: free some space, or redirect it to another file system\n',
    ],
  ])('%s on standard output', async (code, exitCode, text) => {
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error(`${code}, no luck`), { code })),
    });
    const stderr = new Sink();
    expect(await main(['--socket', path, 'status'], { stdout, stderr, env: {} })).toBe(exitCode);
    expect(stderr.text).toBe(text);
  });
});

function memberOf(remote: string): object {
  return { vni: 200, remote, origin: 'static', sent: true, inGroup: false };
}

import { expect, it } from 'vitest';
import { type ConfigKey, diffConfig, KEYS, VNI_KEYS } from './config-diff.ts';
import { readConfigFile } from './config-file.ts';
import { FLAGS } from './flags.ts';
import { parseConfig } from './parse.ts';

/** Flags that are no keys of a file, and the keys that are not looked at alike. */
const NO_KEYS = ['vni', 'config', 'check', 'withdraw', 'version', 'help', 'log-level'];

const parse = (text: string) =>
  parseConfig({ vni: [], local: [], check: false, scalars: {} }, readConfigFile(text, '/f'));

/** What happens to VNI 100 when its keys change so. */
function fate(before: string, after: string): string[] {
  const [a, b] = [before, after].map((keys) => parse(`trunk: t0\nevpn: localhost:50051\nvnis: [{vni: 100${keys}}]`));
  if (!a || !b) expect.fail();
  const { added, removed, changed, remade, ...others } = diffConfig(a, b);
  expect(others).toEqual({ config: b, settings: [], refused: [], logLevel: undefined });
  const lists = { added, removed, changed, remade };
  return Object.entries(lists).flatMap(([name, vnis]) => vnis.map(({ vni }) => `${name} ${vni}`));
}

it('tells what came, went, and stayed', () => {
  const { added, removed, changed, remade } = diffConfig(
    parse('vnis: [{vni: 1}, {vni: 2}, {vni: 3}]'),
    parse('vnis: [{vni: 4}, {vni: 3}, {vni: 1}]'),
  );
  expect(added.map(({ vni }) => vni)).toEqual([4]);
  expect(removed.map(({ vni }) => vni)).toEqual([2]);
  expect([...changed, ...remade]).toEqual([]);
});

it('every key of a VNI is decided on', () => {
  expect(Object.keys(VNI_KEYS).sort()).toEqual(Object.keys(parse('vnis: [{vni: 1}]').vnis[0] as object).sort());
});

it.each([
  ['', ', name: red'],
  ['', ', learning: off'],
  ['', ', max-macs: 7'],
  ['', ', inner-vlan: strip'],
  ['', ', inner-vlan: pass'],
  ['', ', flood: none'],
  ['', ', l2-control: stp'],
  [', l2-control: [stp, lldp]', ', l2-control: pass'],
  [', storm: 5', ''],
  ['', ', suppress: on'],
  ['', ', join: lazy'],
  ['', ', bridge: br0'],
  ['', ', mtu: 1400'],
  ['', ', mac: 02:00:00:00:00:01'],
  ['', ', group: 239.1.1.1'],
  [', group: 239.1.1.1', ', group: 239.1.1.2'],
  [', group: 239.1.1.1', ", group: 'ff05::1'"],
  [', remote: [10.0.0.1]', ', remote: [10.0.0.2, 10.0.0.3]'],
  [', remote: [10.0.0.1]', ', remote: [10.0.0.1, fd00::1]'],
  [', group: 239.1.1.1', ', remote: [10.0.0.2]'],
  ['', ', control: both'],
  ['', ', control: multicast'],
  [', rd: 65000:1', ', rd: 192.0.2.1:1'],
  [', rt: 65000:1', ', rt: [65000:1, 65000:2]'],
  ['', ', rt: rfc8365'],
  [', static: 02:00:00:00:00:01@10.0.0.1', ', static: 02:00:00:00:00:01@10.0.0.2'],
])('%j, then %j changes the VNI where it stands, and back', (before, after) => {
  expect(fate(before, after)).toEqual(['changed 100']);
  expect(fate(after, before)).toEqual(['changed 100']);
});

it.each([
  ['', ', tap: t100'],
  ['', ', vlan: 7'],
  [', vlan: 7', ', vlan: 8'],
])('%j, then %j makes the VNI anew', (before, after) => {
  expect(fate(before, after)).toEqual(['remade 100']);
});

it('of two ways to write the same there is no difference', () => {
  expect(fate(', learning: on, remote: 10.0.0.1', ', remote: [10.0.0.1]')).toEqual([]);
});

/** A value of each key of a file beside \`vnis\` that is not its default. */
const OTHER_VALUES: Record<keyof typeof KEYS, string> = {
  dev: 'dev: eth0',
  local: 'local: 10.0.0.1',
  listen: 'listen: local',
  port: 'port: 5',
  ttl: 'ttl: 5',
  mcastTtl: 'mcast-ttl: 5',
  tos: 'tos: inherit',
  df: 'df: unset',
  ageingSeconds: 'ageing: 5',
  maxMacs: 'max-macs: 5',
  sourcePorts: 'source-ports: 5',
  sourcePortRange: 'source-port-range: 50000-60000',
  allowedVteps: 'allow-vtep: 10.0.0.0/8',
  reservedBits: 'reserved-bits: drop',
  trunk: 'trunk: t0',
  workers: 'workers: 2',
  offload: 'offload: off',
  busyPoll: 'busy-poll: off',
  querier: 'querier: on',
  persist: 'persist: on',
  stateDir: 'state-dir: /d',
  socketPath: 'socket: /s',
  http: "http: '[::1]:9477'",
  evpn: 'evpn: 127.0.0.1:50051',
  evpnHoldSeconds: 'evpn-hold: 5',
  logFormat: 'log-format: json',
};

/** What can change while vtepd runs. */
const LIVE: readonly ConfigKey[] = [
  ...(['ttl', 'mcastTtl', 'tos', 'df', 'ageingSeconds', 'maxMacs', 'allowedVteps', 'reservedBits'] as const),
  ...(['busyPoll', 'querier', 'trunk', 'sourcePorts', 'sourcePortRange', 'http'] as const),
];

const keys = Object.keys(KEYS) as ConfigKey[];

it('every key of a file is live or refused', () => {
  const known = [...keys, 'vnis', 'logLevel', 'check'];
  expect(Object.keys(parse('')).sort()).toEqual(known.sort());
  const names = FLAGS.map(({ name }) => name as string).filter((name) => !NO_KEYS.includes(name));
  expect(
    Object.values(KEYS)
      .map(({ name }) => name as string)
      .sort(),
  ).toEqual(names.sort());
});

it.each(LIVE)('%s goes into force, and back', (key) => {
  const [before, after] = [parse(''), parse(OTHER_VALUES[key])];
  for (const [a, b] of [[before, after] as const, [after, before] as const]) {
    expect(a[key]).not.toEqual(b[key]);
    expect(diffConfig(a, b)).toMatchObject({ config: b, settings: [[key]], refused: [] });
  }
});

it('what makes up the pool of send sockets changes in one step', () => {
  const after = parse('source-ports: 2\nttl: 5\nsource-port-range: 50000-50003\ndf: inherit');
  expect(diffConfig(parse(''), after).settings).toEqual([['df', 'sourcePorts', 'sourcePortRange'], ['ttl']]);
});

it.each(keys.filter((key) => !LIVE.includes(key)))('%s is refused, and stays as it was', (key) => {
  const [before, after] = [parse(''), parse(`ttl: 9\n${OTHER_VALUES[key]}`)];
  const { settings, refused, config } = diffConfig(before, after);
  expect(settings).toEqual([['ttl']]);
  const object = `reload: ${KEYS[key].name}`;
  const cause = expect.stringMatching(/^cannot change while vtepd runs: ./);
  expect(refused).toEqual([{ key, refusal: { object, cause, remedy: 'restart vtepd, or remove it from the file' } }]);
  expect(config).toEqual({ ...before, ttl: 9 });
  expect(diffConfig(after, parse('ttl: 9')).refused).toMatchObject([
    { key, refusal: { remedy: expect.stringContaining(`restart vtepd, or put \`${KEYS[key].name}: `) } },
  ]);
});

it('with EVPN refused, the keys of VNIs that depend on it stay as they were', () => {
  const plain = parse('vnis: [{vni: 1}, {vni: 2, group: 239.1.1.1}]');
  const evpn = parse('evpn: localhost:50051\nvnis: [{vni: 1, rd: 65000:1, name: red}, {vni: 3}]');
  const on = diffConfig(plain, evpn);
  expect(on.refused.map(({ key }) => key)).toEqual(['evpn']);
  expect(on.changed).toEqual([{ ...plain.vnis[0], name: 'red' }]);
  expect(on.added).toEqual([parse('vnis: [{vni: 3}]').vnis[0]]);
  const off = diffConfig(evpn, plain);
  expect(off.changed).toEqual([{ ...evpn.vnis[0], name: undefined }]);
  expect(off.added).toMatchObject([{ vni: 2, control: 'both', rd: undefined, targets: [] }]);
  expect(off.config).toMatchObject({ evpn: evpn.evpn, vnis: [{ control: 'evpn' }, { control: 'both' }] });
});

it('all that is refused is named', () => {
  expect(diffConfig(parse(''), parse('port: 5\nworkers: 2')).refused.map(({ key }) => key)).toEqual([
    'port',
    'workers',
  ]);
});

it('the log level can change', () => {
  expect(diffConfig(parse('log-level: info'), parse('log-level: debug')).logLevel).toBe('debug');
});

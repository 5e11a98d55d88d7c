import fc from 'fast-check';
import { expect, it } from 'vitest';
import { stringify } from 'yaml';
import { readConfigFile } from './config-file.ts';
import { toFileValue } from './config-text.ts';
import { ENTRY_KEYS, FILE_SWITCHES, FLAGS } from './flags.ts';
import { parseConfig } from './parse.ts';
import type { RawFlags } from './written-config.ts';

const NO_FLAGS = { vni: [], local: [], check: false, scalars: {} };

function roundTrip(raw: RawFlags): void {
  const config = parseConfig(raw);
  const text = stringify(toFileValue(config));
  expect(parseConfig(NO_FLAGS, readConfigFile(text, '/f')), text).toEqual(config);
}

/** A value that is not the default, for every flag and key. */
const SCALARS = {
  ...{ dev: 'eth0', port: '49152', ttl: '2', 'mcast-ttl': '3', tos: 'inherit', df: 'unset', ageing: '0' },
  ...{ 'max-macs': '6', 'source-ports': '7', 'source-port-range': '50000-60000', 'reserved-bits': 'drop' },
  ...{
    trunk: 'trunk0',
    workers: '2',
    offload: 'gro',
    listen: 'local',
    'busy-poll': 'off',
    'state-dir': '/d',
    socket: '/s',
  },
  ...{ http: '[::1]:9477', evpn: '[::1]:50051', 'evpn-hold': '0' },
  ...{ 'log-level': 'debug', 'log-format': 'json' },
};
const KEYS = [
  ...['name=on: #1', 'tap=t5', 'bridge=0x10', 'mtu=1400', 'mac=02:00:00:00:00:01', 'remote=10.0.0.1', 'remote=fd00::1'],
  ...['static=02:00:00:00:00:02@10.0.0.1', 'static=02:00:00:00:00:03@local', 'learning=off', 'max-macs=7'],
  ...['inner-vlan=pass', 'l2-control=stp', 'l2-control=lldp', 'join=lazy', 'flood=none', 'storm=9', 'suppress=on'],
  ...['control=both', 'rd=1.10:5', 'rt=65000:100', 'rt=192.0.2.1:100'],
];

it('every flag and key alone, and all together, read back to what they were', () => {
  const lists = { local: ['10.0.0.8', 'fd00::8'], allowVtep: ['10.0.0.0/8', 'fd00::1'] };
  const names = FLAGS.filter(({ kind, name }) => kind === 'scalar' && name !== 'config').map(({ name }) => name);
  expect(Object.keys(SCALARS).sort()).toEqual([...names].sort());
  for (const [name, text] of Object.entries(SCALARS)) roundTrip({ ...NO_FLAGS, vni: ['1'], scalars: { [name]: text } });
  for (const name of FILE_SWITCHES) roundTrip({ ...NO_FLAGS, vni: ['1'], switches: [name] });
  expect(new Set([...KEYS.map((key) => key.split('=')[0]), 'vlan'])).toEqual(
    new Set(ENTRY_KEYS.map(({ name }) => name)),
  );
  const evpn = { evpn: 'unix:/run/gobgp/api.sock' };
  for (const key of KEYS) roundTrip({ ...NO_FLAGS, vni: [`5=239.1.1.1,${key}`], scalars: evpn });
  const vni = [`5=239.1.1.1,${KEYS.join(',')}`, '6=ff05::1,vlan=0', '7,rt=rfc8365,control=both', '16777215'];
  roundTrip({ ...NO_FLAGS, ...lists, vni, scalars: SCALARS });
});

it('leaves out what is the default anyway', () => {
  expect(toFileValue(parseConfig({ ...NO_FLAGS, vni: ['100=239.1.1.1'] }))).toEqual({
    vnis: [{ vni: 100, group: '239.1.1.1' }],
  });
  // The default range is cut where the port lies in it.
  expect(toFileValue(parseConfig({ ...NO_FLAGS, vni: ['1'], scalars: { port: '50000' } }))).toEqual({
    port: 50_000,
    vnis: [{ vni: 1 }],
  });
});

it('names that YAML could take for something else come back as names', () => {
  const names = fc
    .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 })
    .filter((name) => name === name.trim() && name !== '' && !name.includes(','));
  const odd = fc.constantFrom(
    'on',
    'no',
    'null',
    '~',
    '1e3',
    '0x1f',
    '1:20',
    '#',
    '- a',
    '[x',
    '{',
    '&a',
    '*a',
    '!t',
    "'",
    '"',
  );
  fc.assert(fc.property(fc.oneof(names, odd), (name) => roundTrip({ ...NO_FLAGS, vni: [`1,name=${name}`] })));
});

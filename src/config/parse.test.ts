import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VtepError } from '../lib/errors.ts';
import { FLAGS, type ScalarFlagName } from './flags.ts';
import { parseConfig } from './parse.ts';
import type { RawFlags } from './written-config.ts';

type Scalars = RawFlags['scalars'];

const parse = (scalars: Scalars, rest: Partial<RawFlags> = {}) =>
  parseConfig({ vni: ['100=239.1.1.1'], local: [], check: false, ...rest, scalars });

it('fills in the defaults of the contract', () => {
  expect(parse({})).toEqual({
    vnis: [
      {
        vni: 100,
        group: '239.1.1.1',
        name: undefined,
        tap: 'vxlan100',
        vlan: undefined,
        bridge: undefined,
        mtuBytes: undefined,
        mac: undefined,
        remotes: [],
        statics: [],
        learning: true,
        maxMacs: 65_536,
        innerVlan: 'drop',
        l2Control: 'drop',
        join: 'always',
        flood: 'all',
        stormPps: undefined,
        suppress: false,
        control: 'multicast',
        rd: undefined,
        targets: [],
      },
    ],
    dev: undefined,
    local: [],
    port: 4789,
    ttl: 64,
    mcastTtl: 1,
    tos: 0,
    df: 'set',
    ageingSeconds: 300,
    maxMacs: 65_536,
    sourcePorts: 16,
    sourcePortRange: { first: 49_152, last: 65_535 },
    allowedVteps: [],
    reservedBits: 'ignore',
    workers: 1,
    offload: 'auto',
    listen: 'any',
    busyPoll: 'auto',
    querier: false,
    persist: false,
    stateDir: '/var/lib/vtepd',
    socketPath: '/run/vtepd/vtepd.sock',
    http: undefined,
    evpn: undefined,
    evpnHoldSeconds: 180,
    logLevel: 'info',
    logFormat: 'auto',
    check: false,
  });
});

it.each<[scalars: Scalars, differs: object]>([
  [{ dev: 'eth0' }, { dev: 'eth0' }],
  [{ 'evpn-hold': '86400' }, { evpnHoldSeconds: 86_400 }],
  [{ port: '1' }, { port: 1 }],
  [{ port: '49152' }, { port: 49_152, sourcePortRange: { first: 49_153, last: 65_535 } }],
  [{ port: '65535' }, { port: 65_535, sourcePortRange: { first: 49_152, last: 65_534 } }],
  [{ port: '60000', 'source-ports': '256' }, { sourcePortRange: { first: 49_152, last: 59_999 } }],
  [
    { ttl: '255', 'mcast-ttl': '255' },
    { ttl: 255, mcastTtl: 255 },
  ],
  [{ tos: '0xb8' }, { tos: 184 }],
  [{ tos: 'inherit' }, { tos: 'inherit' }],
  [{ df: 'unset' }, { df: 'unset' }],
  [{ df: 'inherit' }, { df: 'inherit' }],
  [{ ageing: '0' }, { ageingSeconds: 0 }],
  [{ ageing: '31536000' }, { ageingSeconds: 31_536_000 }],
  [{ 'max-macs': '1048576' }, { maxMacs: 1_048_576, vnis: [expect.objectContaining({ maxMacs: 1_048_576 })] }],
  [
    { 'source-ports': '1', 'source-port-range': '5-5' },
    { sourcePorts: 1, sourcePortRange: { first: 5, last: 5 } },
  ],
  [
    { 'source-ports': '1', 'source-port-range': '4789-4789' },
    { sourcePorts: 1, sourcePortRange: { first: 4_789, last: 4_789 } },
  ],
  [{ 'source-port-range': '4789-4789' }, { sourcePorts: 1, sourcePortRange: { first: 4_789, last: 4_789 } }],
  [{ 'source-port-range': '50000-50014' }, { sourcePorts: 15, sourcePortRange: { first: 50_000, last: 50_014 } }],
  [{ 'source-port-range': '50000-50014', df: 'inherit' }, { sourcePorts: 7 }],
  [{ 'source-port-range': '50000-50099', df: 'inherit' }, { sourcePorts: 16 }],
  [{ 'source-port-range': '4789-4789', df: 'inherit' }, { sourcePorts: 1 }],
  [{ 'source-port-range': '4000-5000' }, { sourcePortRange: { first: 4_000, last: 5_000 } }],
  [{ listen: 'local' }, { listen: 'local' }],
  [{ 'reserved-bits': 'drop' }, { reservedBits: 'drop' }],
  [{ workers: '1' }, { workers: 1 }],
  [{ workers: '16' }, { workers: 16 }],
  [{ offload: 'off' }, { offload: 'off' }],
  [{ offload: 'gso' }, { offload: 'gso' }],
  [{ offload: 'gro' }, { offload: 'gro' }],
  [{ 'state-dir': '/tmp/d/' }, { stateDir: '/tmp/d', persist: false }],
  [{ socket: '/tmp/s' }, { socketPath: '/tmp/s' }],
  [{ http: '127.0.0.1:9477' }, { http: { address: '127.0.0.1', port: 9477 } }],
  [
    { 'log-level': 'silent', 'log-format': 'json' },
    { logLevel: 'silent', logFormat: 'json' },
  ],
])('takes %j', (scalars, differs) => {
  expect(parse(scalars)).toMatchObject(differs);
});

it('keeps the order of segments, and the switches', () => {
  const config = parse(
    {},
    { vni: ['7', '3', '5'], local: ['10.0.0.1'], switches: ['querier', 'persist'], check: true },
  );
  expect(config.vnis.map(({ vni }) => vni)).toEqual([7, 3, 5]);
  expect(config).toMatchObject({ local: ['10.0.0.1'], querier: true, persist: true, check: true });
});

it('is frozen to its leaves', () => {
  const config = parse({}, { local: ['10.0.0.1'] });
  for (const value of [config, config.vnis, config.vnis[0], config.local, config.sourcePortRange]) {
    expect(Object.isFrozen(value)).toBe(true);
  }
});

describe('refusals', () => {
  it.each<[scalars: Scalars, message: string]>([
    [{ port: '0' }, '--port 0: 0 is not a whole number from 1 to 65535'],
    [{ port: '65536' }, '--port 65536: 65536 is not a whole number from 1 to 65535'],
    [{ ttl: '0' }, '--ttl 0: 0 is not a whole number from 1 to 255'],
    [{ ttl: 'abc' }, '--ttl abc: abc is not a whole number from 1 to 255'],
    [{ ttl: '' }, '--ttl: its value is empty: give one, or leave out --ttl'],
    [{ 'mcast-ttl': '256' }, '--mcast-ttl 256: 256 is not a whole number from 1 to 255'],
    [{ tos: '256' }, '--tos 256: 256 is neither inherit nor a number from 0 to 255 (or 0x0 to 0xff)'],
    [{ ageing: '31536001' }, '--ageing 31536001: 31536001 is not a whole number from 0 to 31536000'],
    [{ 'max-macs': '0' }, '--max-macs 0: 0 is not a whole number from 1 to 1048576'],
    [{ 'source-ports': '257' }, '--source-ports 257: 257 is not a whole number from 1 to 256'],
    [{ 'source-port-range': '5' }, '--source-port-range 5: 5 is not a range of ports A-B with 1 <= A <= B <= 65535'],
    [
      { 'source-ports': '16', 'source-port-range': '50000-50014' },
      '--source-port-range 50000-50014: it holds 15 ports, fewer than --source-ports 16: widen it, or give --source-ports 15',
    ],
    [
      { 'source-ports': '2', 'source-port-range': '4789-4789' },
      '--source-port-range 4789-4789: it holds 1 port, fewer than --source-ports 2: widen it, or give --source-ports 1',
    ],
    [{ listen: 'all' }, '--listen all: all is not one of any, local'],
    [{ df: 'on' }, '--df on: on is not one of set, unset, inherit'],
    [{ 'reserved-bits': 'drp' }, '--reserved-bits drp: drp is not one of ignore, drop: did you mean drop?'],
    [{ workers: '0' }, '--workers 0: 0 is not a whole number from 1 to 16'],
    [{ workers: '17' }, '--workers 17: 17 is not a whole number from 1 to 16'],
    [{ workers: '02' }, '--workers 02: 02 is not a whole number from 1 to 16: leave out the leading zeros'],
    [{ workers: 'auto' }, '--workers auto: auto is not a whole number from 1 to 16'],
    [{ offload: 'on' }, '--offload on: on is not one of auto, off, gso, gro'],
    [{ offload: 'GSO' }, '--offload GSO: GSO is not one of auto, off, gso, gro: did you mean gso?'],
    [{ offload: '' }, '--offload: its value is empty: give one, or leave out --offload'],
    [{ socket: 'x' }, '--socket x: x is not an absolute path: begin it with /'],
    [
      { 'log-level': 'warning' },
      '--log-level warning: warning is not one of fatal, error, warn, info, debug, trace, silent',
    ],
    [
      { http: ':9477' },
      '--http :9477: :9477 has no address: write 127.0.0.1:9477 or [::1]:9477 for this host alone, [::]:9477 for every address',
    ],
    [{ 'log-format': 'auto' }, '--log-format auto: auto is not one of json, pretty'],
    [{ dev: 'a b' }, '--dev a b: a b is not an interface name: it can contain only visible ASCII characters'],
  ])('%j', (scalars, message) => {
    expect(() => parse(scalars)).toThrow(expect.objectContaining({ code: 'ERR_VTEP_USAGE', message }));
  });

  it.each<[rest: Partial<RawFlags>, message: string]>([
    [{ vni: [] }, '--vni: no segment is given: give at least one, like --vni 100=239.1.1.1, or a --config'],
    [{ vni: [''] }, '--vni: its value is empty: give one, or leave out --vni'],
    [{ vni: ['1', '1'] }, '--vni 1: VNI 1 is already given by --vni 1: give each VNI once'],
    [
      { local: ['10.0.0.1', '10.0.0.2'] },
      '--local 10.0.0.2: --local 10.0.0.1 is IPv4 too: give one address per family',
    ],
    [{ local: ['fd00::1', 'FD00::1'] }, '--local FD00::1: --local fd00::1 is IPv6 too: give one address per family'],
    [
      { local: ['fe80::1'] },
      '--local fe80::1: fe80::1 is a link-local address (fe80::/10): give a unicast address of the underlay interface',
    ],
    [{ local: ['fd00::1'] }, '--vni 100=239.1.1.1: the group is IPv4 but --local fd00::1 is IPv6: add an IPv4 --local'],
  ])('%j', (rest, message) => {
    expect(() => parse({}, rest)).toThrow(expect.objectContaining({ code: 'ERR_VTEP_USAGE', message }));
  });
});

it('random values are a configuration or a refusal of one line', () => {
  const names = FLAGS.filter((flag) => flag.kind === 'scalar').map((flag) => flag.name);
  const texts = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('1', '5-9', 'on', '/s', '10.0.0.1', '\n'));
  fc.assert(
    fc.property(fc.constantFrom(...names), texts, fc.array(texts), (name: ScalarFlagName, text, local) => {
      try {
        expect(Object.isFrozen(parse({ [name]: text }, { local }))).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(VtepError);
        expect((error as VtepError).message).toMatch(/^--[^\r\n]+$/);
      }
    }),
  );
});

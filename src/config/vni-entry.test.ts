import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIp, formatMac } from '../lib/addresses.ts';
import { VtepError } from '../lib/errors.ts';
import {
  MAX_FDB_ENTRIES,
  MAX_FLOOD_REMOTES,
  MAX_MTU_BYTES,
  MAX_ROUTE_TARGETS,
  MAX_STORM_PPS,
  MAX_VLAN,
  MAX_VNI,
  MIN_MTU_BYTES,
} from '../lib/limits.ts';
import { formatRouteNumber, type RouteNumber } from '../lib/route-numbers.ts';
import type { VniConfig } from './config.ts';
import { L2_PROTOCOLS } from './keys/l2-control-key.ts';
import { flagObject } from './keys/written-value.ts';
import { formatVniEntry, parseVniEntry, type VniEntryContext } from './vni-entry.ts';

const parse = (text: string, context: Partial<VniEntryContext> = {}) =>
  parseVniEntry(text, { object: flagObject('vni', text), maxMacs: 65_536, ...context });

const TRUNK = 'trunk0';
const SPEAKER = { kind: 'unix', path: '/run/gobgp.sock' } as const;

const PLAIN: VniConfig = {
  vni: 100,
  group: undefined,
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
};

describe('accepted entries', () => {
  it.each<[text: string, differs: object]>([
    ['100', {}],
    ['0', { vni: 0, tap: 'vxlan0' }],
    ['16777215', { vni: MAX_VNI, tap: 'vxlan16777215' }],
    ['100=239.1.1.1', { group: '239.1.1.1' }],
    ['100=FF05::64', { group: 'ff05::64' }],
    ['100,name=a=b c,tap=t,bridge=br0', { name: 'a=b c', tap: 't', bridge: 'br0' }],
    ['100,mtu=68,mac=02:00:00:00:00:0A', { mtuBytes: 68, mac: '02:00:00:00:00:0a' }],
    ['100,remote=10.0.0.2,remote=10.0.0.1,remote=10.0.0.2', { remotes: ['10.0.0.2', '10.0.0.1'] }],
    [
      '100,static=02:00:00:00:00:01@10.0.0.2,static=02:00:00:00:00:02@fd00::2,static=02:00:00:00:00:01@10.0.0.2',
      {
        statics: [
          { mac: '02:00:00:00:00:01', vtep: '10.0.0.2' },
          { mac: '02:00:00:00:00:02', vtep: 'fd00::2' },
        ],
      },
    ],
    ['100,learning=off,max-macs=1,inner-vlan=strip', { learning: false, maxMacs: 1, innerVlan: 'strip' }],
    ['100,learning=on,inner-vlan=pass', { innerVlan: 'pass' }],
    ['100=239.1.1.1,join=lazy', { group: '239.1.1.1', join: 'lazy' }],
    ['100,join=always,flood=all', {}],
    ['100,flood=no-unknown,storm=1', { flood: 'no-unknown', stormPps: 1 }],
    ['100,flood=none,storm=100000000', { flood: 'none', stormPps: MAX_STORM_PPS }],
    ['100,suppress=on', { suppress: true }],
    ['100,suppress=off', {}],
  ])('%s', (text, differs) => {
    expect(parse(text)).toEqual({ ...PLAIN, ...differs });
  });

  it('takes max-macs from the flag unless the entry says', () => {
    expect(parse('100', { maxMacs: 7 }).maxMacs).toBe(7);
    expect(parse('100,max-macs=8', { maxMacs: 7 }).maxMacs).toBe(8);
  });

  it.each<[text: string, differs: object]>([
    ['100', { control: 'evpn' }],
    ['100=239.1.1.1', { group: '239.1.1.1', control: 'both' }],
    ['100,remote=10.0.0.1', { remotes: ['10.0.0.1'], control: 'both' }],
    ['100=239.1.1.1,control=multicast', { group: '239.1.1.1', control: 'multicast' }],
    ['100,control=both', { control: 'both' }],
    ['100,rd=192.0.2.1:7', { control: 'evpn', rd: { form: 'ipv4', admin: 0xc000_0201, value: 7 } }],
    [
      '100,rt=65000:100,rt=65536:1,rt=65000:100,rt=1.0:1',
      {
        control: 'evpn',
        targets: [
          { form: 'as2', admin: 65_000, value: 100 },
          { form: 'as4', admin: 65_536, value: 1 },
        ],
      },
    ],
    ['100,rt=rfc8365,rt=rfc8365', { control: 'evpn', targets: 'rfc8365' }],
  ])('%s with --evpn', (text, differs) => {
    expect(parse(text, { evpn: SPEAKER })).toEqual({ ...PLAIN, ...differs });
  });

  it('control=multicast without --evpn', () => {
    expect(parse('100,control=multicast')).toEqual(PLAIN);
  });

  it('is frozen to its leaves', () => {
    const entry = parse('100,remote=10.0.0.2,static=02:00:00:00:00:01@10.0.0.2');
    for (const value of [entry, entry.remotes, entry.statics, entry.statics[0]])
      expect(Object.isFrozen(value)).toBe(true);
  });
});

describe('refusals', () => {
  it.each<[text: string, cause: string]>([
    ['100=10.1.1.1', '10.1.1.1 is not a multicast address (224.0.0.0/4 or ff00::/8)'],
    ['100=', 'no group follows 100=: give a multicast address, or leave out the ='],
    ['100=x', 'x is not an IP address: a group is a multicast address, 224.0.0.0/4 or ff00::/8'],
    ['=239.1.1.1', 'the VNI is missing: begin with a number from 0 to 16777215'],
    [',tap=x', 'the VNI is missing: begin with a number from 0 to 16777215'],
    ['16777216', 'VNI 16777216 is not a whole number from 0 to 16777215'],
    ['-1', 'VNI -1 is not a whole number from 0 to 16777215'],
    ['0x64', 'VNI 0x64 is not a whole number from 0 to 16777215'],
    ['1e2', 'VNI 1e2 is not a whole number from 0 to 16777215'],
    ['0100', 'VNI 0100 is not a whole number from 0 to 16777215: leave out the leading zeros'],
    ['100 ,tap=x', 'VNI "100 " is not a whole number from 0 to 16777215'],
    ['tap=x', 'VNI tap is not a whole number from 0 to 16777215'],
    ['100,', 'nothing follows a comma: leave out the comma, or give key=value'],
    ['100,,tap=x', 'nothing follows a comma: leave out the comma, or give key=value'],
    ['100,239.1.1.1', '239.1.1.1 is not key=value: a group is written VNI=GROUP, a unicast VTEP remote=IP'],
    ['100,tap', 'tap has no value: write tap=NAME'],
    ['100,tap=', 'tap= has no value: give one, or leave out tap='],
    ['100,tap=a,tap=b', 'tap= is given twice: give it once'],
    ['100,learning=on,learning=on', 'learning= is given twice: give it once'],
    ['100,remot=10.0.0.1', 'unknown key remot: did you mean remote?'],
    ['100,Tap=x', 'unknown key Tap: did you mean tap?'],
    ['100, tap=x', 'unknown key " tap": did you mean tap?'],
    ...['constructor=1', '__proto__=1', '=1'].map((item): [string, string] => [
      `100,${item}`,
      `unknown key ${item.split('=')[0] || '""'}: ` +
        'the keys are name, tap, bridge, mtu, mac, remote, static, learning, max-macs, inner-vlan, l2-control, join, flood, storm, suppress, control, rd, rt, vlan',
    ]),
    ['100,tap=a/b', 'tap=a/b is not an interface name: it cannot contain /'],
    ['100,tap=abcdefghijklmnop', 'tap=abcdefghijklmnop is not an interface name: it has 16 characters, at most 15 fit'],
    ['100,bridge=..', 'bridge=.. is not an interface name: the kernel reserves this name'],
    ['100,mtu=67', `mtu=67 is not a whole number from ${MIN_MTU_BYTES} to ${MAX_MTU_BYTES}`],
    ['100,mtu=65522', `mtu=65522 is not a whole number from ${MIN_MTU_BYTES} to ${MAX_MTU_BYTES}`],
    ['100,mac=01:00:00:00:00:00', 'mac=01:00:00:00:00:00 is a group MAC: give the MAC of one station'],
    ['100,mac=00:00:00:00:00:00', 'mac=00:00:00:00:00:00 is the zero MAC: give the MAC of one station'],
    ['100,remote=239.1.1.1', 'remote=239.1.1.1 is a multicast address: give the unicast address of a VTEP'],
    ['100,remote=0.0.0.0', 'remote=0.0.0.0 is the unspecified address: give the unicast address of a VTEP'],
    [
      '100,remote=255.255.255.255',
      'remote=255.255.255.255 is the broadcast address: give the unicast address of a VTEP',
    ],
    ['100,static=10.0.0.1', 'static=10.0.0.1 is not MAC@IP: write it like static=02:00:00:00:00:01@192.0.2.1'],
    ['100,static=@', '"" in static=@ is not a MAC address: write it like 02:00:00:00:00:01'],
    [
      '100,static=03:00:00:00:00:01@10.0.0.1',
      '03:00:00:00:00:01 in static=03:00:00:00:00:01@10.0.0.1 is a group MAC: give the MAC of one station',
    ],
    [
      '100,static=02:00:00:00:00:01@ff02::1',
      'ff02::1 in static=02:00:00:00:00:01@ff02::1 is a multicast address: give the unicast address of a VTEP',
    ],
    [
      '100,static=02:00:00:00:00:01@10.0.0.1,static=02:00:00:00:00:01@10.0.0.2',
      'static= puts 02:00:00:00:00:01 at 10.0.0.1 and at 10.0.0.2: give one VTEP for each MAC',
    ],
    ['100,learning=yes', 'learning=yes is not one of on, off'],
    ['100,inner-vlan=dorp', 'inner-vlan=dorp is not one of drop, strip, pass: did you mean drop?'],
    ['100,join=never', 'join=never is not one of always, lazy'],
    ['100,flood=no-unkown', 'flood=no-unkown is not one of all, no-unknown, none: did you mean no-unknown?'],
    ['100,flood=none,flood=none', 'flood= is given twice: give it once'],
    ...['0', '-1', '1.5', '1e3', '100000001', 'none'].map((pps): [string, string] => [
      `100,storm=${pps}`,
      `storm=${pps} is not a whole number from 1 to ${MAX_STORM_PPS}`,
    ]),
    ['100,max-macs=0', `max-macs=0 is not a whole number from 1 to ${MAX_FDB_ENTRIES}`],
    ['100,max-macs=1048577', `max-macs=1048577 is not a whole number from 1 to ${MAX_FDB_ENTRIES}`],
    ['100,name=a\u0007', 'name=a\\u0007 has characters that cannot be printed: leave them out'],
  ])('%s', (text, cause) => {
    const object = `--vni ${text.replace('\u0007', '\\u0007')}`;
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: 'ERR_VTEP_USAGE', message: `${object}: ${cause}` }),
    );
  });

  it('bounds the flood list', () => {
    const entry = (count: number) =>
      `5${Array.from({ length: count }, (_, i) => `,remote=10.0.${i >> 8}.${i & 255}`).join('')}`;
    expect(parse(entry(MAX_FLOOD_REMOTES)).remotes).toHaveLength(MAX_FLOOD_REMOTES);
    expect(() => parse(entry(MAX_FLOOD_REMOTES + 1))).toThrow(
      /^--vni 5,remote=10\.0\.0\.0.{0,200}…: 1025 remotes, at most 1024 are allowed: use a group$/,
    );
  });
});

const WRITE_NUMBER =
  'write it like 65000:100 or 192.0.2.1:100, with at most 65535 after an address or an AS above 65535';

describe('refusals of EVPN', () => {
  it.each<[text: string, cause: string]>([
    ['100,control=evpn', 'control=evpn needs a BGP speaker: give --evpn ADDR'],
    ['100=239.1.1.1,control=both', 'control=both needs a BGP speaker: give --evpn ADDR'],
    ['100,rd=65000:1', 'rd= needs a BGP speaker: give --evpn ADDR'],
    ['100,rt=rfc8365', 'rt= needs a BGP speaker: give --evpn ADDR'],
    ['100,control=evnp', 'control=evnp is not one of multicast, evpn, both: did you mean evpn?'],
  ])('%s without --evpn', (text, cause) => {
    expect(() => parse(text)).toThrow(`--vni ${text}: ${cause}`);
  });

  it.each<[text: string, cause: string]>([
    [
      '100,control=multicast,rd=65000:1',
      'rd= cannot be combined with control=multicast: such a VNI has no EVPN routes: leave out rd=, or give control=both',
    ],
    [
      '100,control=multicast,rt=65000:1',
      'rt= cannot be combined with control=multicast: such a VNI has no EVPN routes: leave out rt=, or give control=both',
    ],
    ['100,rd=100', `rd=100 is not ADMIN:VALUE: ${WRITE_NUMBER}`],
    ['100,rd=192.0.2.1:65536', `rd=192.0.2.1:65536 is not ADMIN:VALUE: ${WRITE_NUMBER}`],
    ['100,rt=4294967296:1', `rt=4294967296:1 is not ADMIN:VALUE: ${WRITE_NUMBER}`],
    ['100,rd=1:1,rd=1:1', 'rd= is given twice: give it once'],
    ['100,rt=65000:1,rt=rfc8365', 'rt=rfc8365 cannot be combined with another rt=: give it alone, or only ADMIN:VALUE'],
    [
      `100,${Array.from({ length: MAX_ROUTE_TARGETS + 1 }, (_, i) => `rt=1:${i}`).join(',')}`,
      `${MAX_ROUTE_TARGETS + 1} route targets, at most ${MAX_ROUTE_TARGETS} are allowed: give fewer`,
    ],
  ])('%s', (text, cause) => {
    expect(() => parse(text, { evpn: SPEAKER })).toThrow(`--vni ${text}`.slice(0, 100));
    expect(() => parse(text, { evpn: SPEAKER })).toThrow(`: ${cause}`);
  });
});

const octets = (first: fc.Arbitrary<number>, length: number) =>
  fc
    .tuple(first, fc.uint8Array({ minLength: length - 1, maxLength: length - 1 }))
    .map(([byte, rest]) => formatIp(Uint8Array.from([byte, ...rest])));
const groups = fc.oneof(octets(fc.integer({ min: 224, max: 239 }), 4), octets(fc.constant(0xff), 16));
const vteps = fc.oneof(octets(fc.integer({ min: 1, max: 223 }), 4), octets(fc.constantFrom(0x20, 0xfd), 16));
const macs = fc
  .tuple(fc.nat({ max: 0xff_ffff }), fc.nat({ max: 0xffff }))
  .map(([high, low]) => formatMac(0x0200_0000 + high, low));
const interfaces = fc.stringMatching(/^[a-z][a-z0-9._-]{1,14}$/).filter((name) => !['all', 'default'].includes(name));
const or = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const routeNumbers: fc.Arbitrary<RouteNumber> = fc
  .tuple(fc.constantFrom('as2', 'ipv4', 'as4'), fc.nat({ max: 0xffff }), fc.nat({ max: 0xffff_ffff }))
  .map(([form, short, long]) =>
    form === 'as2' ? { form, admin: short, value: long } : { form, admin: long, value: short },
  );

const entries: fc.Arbitrary<VniConfig> = fc
  .record({
    vni: fc.nat({ max: MAX_VNI }),
    group: or(groups),
    name: or(fc.stringMatching(/^[!-+.-~é]([ -+.-~é]{0,62}[!-+.-~é])?$/)),
    tap: or(interfaces),
    vlan: or(fc.integer({ min: 1, max: MAX_VLAN })),
    bridge: or(interfaces),
    mtuBytes: or(fc.integer({ min: MIN_MTU_BYTES, max: MAX_MTU_BYTES })),
    mac: or(macs),
    remotes: fc.uniqueArray(vteps, { maxLength: 5 }),
    statics: fc.uniqueArray(fc.record({ mac: macs, vtep: vteps }), { maxLength: 5, selector: ({ mac }) => mac }),
    learning: fc.boolean(),
    maxMacs: fc.oneof(fc.constant(65_536), fc.integer({ min: 1, max: MAX_FDB_ENTRIES })),
    innerVlan: fc.constantFrom('drop', 'strip', 'pass'),
    l2Control: fc.oneof(
      fc.constantFrom('drop' as const, 'pass' as const),
      fc.subarray([...L2_PROTOCOLS], { minLength: 1 }),
    ),
    join: fc.constantFrom('always', 'lazy'),
    flood: fc.constantFrom('all', 'no-unknown', 'none'),
    stormPps: or(fc.integer({ min: 1, max: MAX_STORM_PPS })),
    suppress: fc.boolean(),
    control: fc.constantFrom('evpn', 'both'),
    rd: or(routeNumbers),
    targets: fc.oneof(
      fc.constant('rfc8365' as const),
      fc.uniqueArray(routeNumbers, { maxLength: 3, selector: formatRouteNumber }),
    ),
  })
  .map((entry) =>
    entry.vlan === undefined
      ? { ...entry, tap: entry.tap ?? `vxlan${entry.vni}` }
      : { ...entry, tap: TRUNK, bridge: undefined, mtuBytes: undefined, mac: undefined },
  );

describe('properties', () => {
  it('a printed entry parses back', () => {
    fc.assert(
      fc.property(entries, fc.constantFrom(1, 65_536), (entry, maxMacs) => {
        expect(
          parse(formatVniEntry(entry, { maxMacs, evpn: SPEAKER }), { maxMacs, trunk: TRUNK, evpn: SPEAKER }),
        ).toEqual(entry);
      }),
    );
  });

  it('prints defaults as nothing', () => {
    expect(formatVniEntry(PLAIN, { maxMacs: 65_536 })).toBe('100');
  });

  it('random text is an entry or a refusal of one line', () => {
    const pieces = fc.constantFrom(
      '100',
      '=',
      ',',
      'tap',
      'remote=',
      'static=',
      '@',
      '10.0.0.1',
      'ff02::1',
      '%',
      '\n',
      '\0',
    );
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(pieces).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          expect(Object.isFrozen(parse(text))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(VtepError);
          expect(error).toMatchObject({ code: 'ERR_VTEP_USAGE', exitCode: 64 });
          expect((error as VtepError).message).not.toMatch(/[\r\n]/);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

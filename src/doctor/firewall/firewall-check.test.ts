import { describe, expect, it } from 'vitest';
import { checkFirewall, type ProtectedTraffic } from './firewall-check.ts';
import { ip, TRAFFIC } from './firewall-rig.ts';
import { parseNftRuleset } from './nft-ruleset.ts';

type Json = Record<string, unknown>;

const match = (left: Json, right: unknown, op = '==') => ({ match: { op, left, right } });
const payload = (protocol: string, field: string) => ({ payload: { protocol, field } });
const meta = (key: string) => ({ meta: { key } });
const [accept, drop] = [{ accept: null }, { drop: null }];
const dport = (right: unknown, op?: string) => match(payload('udp', 'dport'), right, op);
const saddr = (right: unknown, op?: string) => match(payload('ip', 'saddr'), right, op);

interface Table {
  readonly family?: string;
  readonly hook?: string;
  readonly policy?: string;
  /** Further attributes of the base chain. */
  readonly chain?: Json;
  readonly rules?: readonly (readonly Json[])[];
  readonly chains?: Readonly<Record<string, readonly (readonly Json[])[]>>;
  readonly objects?: readonly Json[];
}

/** As `nft -j list ruleset` writes a table with one base chain `input`. */
function ruleset({
  family = 'inet',
  hook = 'input',
  policy = 'accept',
  chain = {},
  rules = [],
  chains = {},
  objects = [],
}: Table) {
  const place = { family, table: 'filter' };
  let handle = 0;
  const of = (name: string, all: readonly (readonly Json[])[]) =>
    all.map((expr) => ({ rule: { ...place, chain: name, handle: ++handle, expr } }));
  return JSON.stringify({
    nftables: [
      { metainfo: { json_schema_version: 1 } },
      { table: { family, name: 'filter', handle: 1 } },
      ...objects,
      { chain: { ...place, name: 'input', type: 'filter', hook, prio: 0, policy, ...chain } },
      ...Object.keys(chains).map((name) => ({ chain: { ...place, name } })),
      ...of('input', rules),
      ...Object.entries(chains).flatMap(([name, all]) => of(name, all)),
    ],
  });
}

function nft(table: Table, traffic: Partial<ProtectedTraffic> = {}) {
  return checkFirewall({ chains: parseNftRuleset(ruleset(table)) }, [{ ...TRAFFIC, ...traffic }]);
}

const insert = 'nft insert rule inet filter input udp dport 4789 accept';
const remove = 'nft delete rule inet filter input handle 1';

it.each([
  ['drop', drop],
  ['reject', { reject: { type: 'icmp' } }],
])('names a rule as it is written: %s', (verb, statement) => {
  expect(nft({ rules: [[dport(4789), statement]] })[0]?.message).toContain(`rule "udp dport 4789 ${verb}" (handle 1)`);
});

describe('one rule of nftables in front of nothing', () => {
  it.each([
    ['no rule', [], 'ok', null],
    ['drop', [drop], 'failed', insert],
    ['reject', [{ reject: { type: 'icmp' } }], 'failed', insert],
    ['the port', [dport(4789), drop], 'failed', remove],
    [
      'the port, counted and logged',
      [dport(4789), { counter: { packets: 0 } }, { log: { prefix: 'x' } }, drop],
      'failed',
      remove,
    ],
    ['the port, whatever the protocol', [match(payload('th', 'dport'), 4789), drop], 'failed', remove],
    ['another port', [dport(53), drop], 'ok', null],
    ['every other port', [dport(4789, '!='), drop], 'ok', null],
    ['a set of ports', [dport({ set: [53, { range: [4000, 5000] }] }), drop], 'failed', insert],
    ['a set of other ports', [dport({ set: [53, { range: [100, 200] }] }), drop], 'ok', null],
    ['a named set', [dport('@ports'), drop], 'failed', insert],
    ['a named set that is too long', [saddr('@long'), drop], 'warning', insert],
    ['a named set of addresses', [saddr('@addresses'), drop], 'failed', insert],
    ['a named set of other addresses', [saddr('@strangers'), drop], 'ok', null],
    ['a named set of other ports', [dport('@others'), drop], 'ok', null],
    ['a named set that is not there', [dport('@none'), drop], 'warning', insert],
    ['high ports', [dport(1024, '>='), drop], 'failed', insert],
    ['low ports', [dport(1024, '<'), drop], 'ok', null],
    ['another protocol', [match(payload('tcp', 'dport'), 4789), drop], 'ok', null],
    ['all but a port of another protocol', [match(payload('tcp', 'dport'), 22, '!='), drop], 'ok', null],
    ['UDP', [match(meta('l4proto'), 'udp'), drop], 'failed', insert],
    ['UDP or TCP, in numbers', [match(meta('l4proto'), { set: [6, 17] }), drop], 'failed', insert],
    ['ICMP', [match(meta('l4proto'), 'icmp'), drop], 'ok', null],
    ['IPv6', [match(meta('nfproto'), 'ipv6'), drop], 'ok', null],
    ['an IPv6 address', [match(payload('ip6', 'saddr'), 'fd00::1', '!='), drop], 'ok', null],
    ['the interface', [match(meta('iifname'), 'eth0'), drop], 'failed', insert],
    ['interfaces that begin so', [match(meta('iifname'), 'eth*'), drop], 'failed', insert],
    ['another interface', [match(meta('iif'), 'lo'), drop], 'ok', null],
    ['all but the interface', [match(meta('iifname'), 'eth0', '!='), drop], 'ok', null],
    ['the interface that it leaves by', [match(meta('oifname'), 'eth0'), drop], 'ok', null],
    ['the VTEP', [saddr('198.18.0.2'), drop], 'failed', insert],
    ['its network', [saddr({ prefix: { addr: '198.18.0.0', len: 24 } }), drop], 'failed', insert],
    ['another network', [saddr({ prefix: { addr: '10.0.0.0', len: 8 } }), drop], 'ok', null],
    ['all but its network', [saddr({ prefix: { addr: '198.18.0.0', len: 24 } }, '!='), drop], 'ok', null],
    ['a range of addresses', [saddr({ range: ['198.18.0.1', '198.18.0.9'] }), drop], 'failed', insert],
    ['the group', [match(payload('ip', 'daddr'), '239.1.1.1'), drop], 'failed', insert],
    ['multicast', [match(meta('pkttype'), 'multicast'), drop], 'failed', insert],
    ['broadcast', [match(meta('pkttype'), 'broadcast'), drop], 'ok', null],
    [
      'multicast, as routes say',
      [match({ fib: { result: 'type', flags: ['daddr'] } }, 'multicast'), drop],
      'failed',
      insert,
    ],
    ['established flows', [match({ ct: { key: 'state' } }, ['established', 'related'], 'in'), drop], 'ok', null],
    ['new flows', [match({ ct: { key: 'state' } }, { set: ['new', 'untracked'] }), drop], 'failed', insert],
    ['flows that are sent elsewhere', [match({ ct: { key: 'status' } }, 'dnat', 'in'), drop], 'ok', null],
    ['a rate', [{ limit: { rate: 10, per: 'second' } }, drop], 'warning', insert],
    ['a mark', [match(meta('mark'), 1), drop], 'warning', insert],
    ['a match of iptables', [{ xt: { type: 'match', name: 'u32' } }, drop], 'warning', insert],
    ['a target of iptables', [{ xt: { type: 'target', name: 'TPROXY' } }], 'warning', insert],
    ['REJECT of iptables', [dport(4789), { xt: { type: 'target', name: 'REJECT' } }], 'failed', remove],
    ['a queue', [{ queue: { num: 1 } }], 'warning', insert],
    [
      'two addresses at once',
      [match({ concat: [payload('ip', 'saddr'), payload('udp', 'dport')] }, { set: [] }), drop],
      'warning',
      insert,
    ],
    ['what is not known yet', [{ quantum: 1 }], 'warning', insert],
    ['what is not known yet, for another port', [dport(53), { quantum: 1 }, drop], 'ok', null],
    ['source ports', [match(payload('udp', 'sport'), { range: [0, 1023] }), drop], 'warning', insert],
  ] as [string, Json[], string, string | null][])('%s', (_what, rule, status, remedy) => {
    const objects = [
      {
        set: { family: 'inet', table: 'filter', name: 'ports', elem: [53, { elem: { val: { range: [4000, 5000] } } }] },
      },
      { set: { family: 'inet', table: 'filter', name: 'others', elem: [53] } },
      {
        set: { family: 'inet', table: 'filter', name: 'long', elem: Array.from({ length: 16_385 }, () => '10.0.0.1') },
      },
      { set: { family: 'inet', table: 'filter', name: 'addresses', elem: ['10.0.0.1', '198.18.0.2'] } },
      {
        set: {
          family: 'inet',
          table: 'filter',
          name: 'strangers',
          elem: ['10.0.0.1', { prefix: { addr: '10.1.0.0', len: 16 } }],
        },
      },
    ];
    expect(nft({ rules: [rule], objects })).toMatchObject([{ check: 'firewall', status, remedy }]);
  });
});

describe('rules of nftables in order', () => {
  it.each([
    ['policy drop', { policy: 'drop' }, 'failed'],
    ['policy drop behind an accept', { policy: 'drop', rules: [[dport(4789), accept]] }, 'ok'],
    ['policy drop behind an accept of another port', { policy: 'drop', rules: [[dport(53), accept]] }, 'failed'],
    [
      'policy drop behind an accept for some networks',
      { policy: 'drop', rules: [[saddr({ prefix: { addr: '198.18.0.0', len: 24 } }), accept]] },
      'ok',
    ],
    ['policy drop behind an accept at a rate', { policy: 'drop', rules: [[{ limit: {} }, accept]] }, 'warning'],
    [
      'an accept first',
      {
        rules: [
          [dport(4789), accept],
          [dport(4789), drop],
        ],
      },
      'ok',
    ],
    [
      'a drop first',
      {
        rules: [
          [dport({ set: [4789] }), drop],
          [dport(4789), accept],
        ],
      },
      'failed',
    ],
    ['a drop that is not the only one', { policy: 'drop', rules: [[dport(4789), drop]] }, 'failed'],
    ['a chain that drops', { rules: [[{ jump: { target: 'sub' } }]], chains: { sub: [[drop]] } }, 'failed'],
    [
      'a chain that returns before it drops',
      { rules: [[{ jump: { target: 'sub' } }]], chains: { sub: [[{ return: null }], [drop]] } },
      'ok',
    ],
    [
      'a chain that may return before it drops',
      { rules: [[{ jump: { target: 'sub' } }]], chains: { sub: [[{ limit: {} }, { return: null }], [drop]] } },
      'warning',
    ],
    [
      'a chain that accepts',
      { policy: 'drop', rules: [[{ jump: { target: 'sub' } }]], chains: { sub: [[accept]] } },
      'ok',
    ],
    [
      'a chain that leads back',
      { policy: 'drop', rules: [[{ jump: { target: 'sub' } }], [accept]], chains: { sub: [[dport(53), drop]] } },
      'ok',
    ],
    [
      'a chain that does not lead back',
      { policy: 'drop', rules: [[{ goto: { target: 'sub' } }], [accept]], chains: { sub: [[dport(53), drop]] } },
      'failed',
    ],
    [
      'a chain in a circle',
      { rules: [[{ jump: { target: 'sub' } }]], chains: { sub: [[{ jump: { target: 'sub' } }]] } },
      'warning',
    ],
    [
      'a verdict map that accepts',
      {
        policy: 'drop',
        rules: [
          [
            {
              vmap: {
                key: payload('udp', 'dport'),
                data: {
                  set: [
                    [53, drop],
                    [4789, accept],
                  ],
                },
              },
            },
          ],
        ],
      },
      'ok',
    ],
    [
      'a verdict map that drops',
      {
        rules: [
          [
            {
              vmap: {
                key: payload('udp', 'dport'),
                data: {
                  set: [
                    [53, accept],
                    [4789, drop],
                  ],
                },
              },
            },
          ],
        ],
      },
      'failed',
    ],
    [
      'a verdict map of states',
      {
        policy: 'drop',
        rules: [
          [
            {
              vmap: {
                key: { ct: { key: 'state' } },
                data: {
                  set: [
                    ['established', accept],
                    ['invalid', drop],
                  ],
                },
              },
            },
          ],
        ],
      },
      'failed',
    ],
    [
      'a verdict map with a name',
      {
        rules: [[{ vmap: { key: payload('udp', 'dport'), data: '@verdicts' } }]],
        objects: [{ map: { family: 'inet', table: 'filter', name: 'verdicts', elem: [[4789, drop]] } }],
      },
      'failed',
    ],
  ] as [string, Table, string][])('%s', (_what, table, status) => {
    expect(nft(table)).toMatchObject([{ status, remedy: status === 'ok' ? null : insert }]);
  });
});

describe('chains of nftables', () => {
  it.each([
    ['ip', 'input', {}, 'failed'],
    ['ip6', 'input', {}, 'ok'],
    ['bridge', 'input', {}, 'ok'],
    ['inet', 'prerouting', {}, 'failed'],
    ['inet', 'forward', {}, 'ok'],
    ['inet', 'output', {}, 'failed'],
    ['ip', 'input', { type: 'nat' }, 'failed'],
    ['netdev', 'ingress', { dev: 'eth0' }, 'failed'],
    ['netdev', 'ingress', { dev: ['eth1', 'eth0'] }, 'failed'],
    ['netdev', 'ingress', { dev: 'eth1' }, 'ok'],
    // As nft 1.0.6 leaves it out.
    ['netdev', 'ingress', {}, 'warning'],
  ])('%s %s %j', (family, hook, chain, status) => {
    expect(nft({ family, hook, chain, rules: [[dport(4789), drop]] })).toMatchObject([{ status }]);
  });

  it('each of them must let it through', () => {
    const open = parseNftRuleset(ruleset({ rules: [[accept]] }));
    const shut = parseNftRuleset(ruleset({ family: 'ip', policy: 'drop' }));
    expect(checkFirewall({ chains: [...open, ...shut] }, [TRAFFIC])).toMatchObject([
      { status: 'failed', message: expect.stringContaining('ip filter input') },
    ]);
  });

  it('knows its own source ports going out', () => {
    const own = [match(payload('udp', 'sport'), { range: [49_152, 65_535] }), drop];
    expect(nft({ hook: 'output', rules: [own] })).toMatchObject([{ object: 'eth0, UDP 4789 out', status: 'failed' }]);
  });

  it('does not know who sends where no VTEP is known', () => {
    const table = { policy: 'drop', rules: [[saddr({ prefix: { addr: '198.18.0.0', len: 24 } }), accept]] };
    const [finding] = nft(table, { vteps: [] });
    expect(finding).toMatchObject({ status: 'warning', remedy: insert });
    expect(finding?.message).toContain('rule "ip saddr 198.18.0.0/24 accept" (handle 1)');
  });

  it('names the VTEP that is kept out', () => {
    const vteps = [ip('198.18.0.2'), ip('198.18.0.66')];
    const [finding] = nft({ rules: [[saddr('198.18.0.66'), drop]] }, { vteps });
    expect(finding).toMatchObject({ status: 'failed', message: expect.stringContaining('from 198.18.0.66') });
  });

  it('leaves firewalld’s table to firewalld', () => {
    const text = ruleset({ policy: 'drop' })
      .replaceAll('"filter"', '"firewalld"')
      .replace('"type":"firewalld"', '"type":"filter"');
    expect(checkFirewall({ chains: parseNftRuleset(text) }, [TRAFFIC])).toMatchObject([
      { remedy: 'firewall-cmd --permanent --add-port=4789/udp && firewall-cmd --reload' },
    ]);
  });
});

it('is not sure of what iptables alone tells', () => {
  const [finding] = checkFirewall({ chains: [], unseen: 'nft is not installed' }, [TRAFFIC]);
  expect(finding).toMatchObject({ status: 'unknown', message: 'there are no rules, but nft is not installed' });
  const shut = parseNftRuleset(ruleset({ policy: 'drop' }));
  expect(checkFirewall({ chains: shut, unseen: 'nft is not installed' }, [TRAFFIC])).toMatchObject([
    { status: 'failed' },
    { status: 'unknown', message: 'nft is not installed' },
  ]);
});

it('says so where nothing can be read', () => {
  expect(checkFirewall({ unreadable: 'nft is not installed' }, [TRAFFIC])).toEqual([
    {
      ...{ check: 'firewall', status: 'unknown', object: 'UDP 4789', remedy: null },
      message: 'the firewall cannot be read: nft is not installed',
    },
  ]);
});

import { parseIp } from '../../lib/addresses.ts';
import type { Rewrite } from './firewall-rewrite.ts';
import type { Action, BaseChain, Hook, Rule } from './firewall-walk.ts';
import { compileMatch, type NftContext, type NftExpression } from './nft-match.ts';
import { type NftText, NO_NFT_TEXT } from './nft-text.ts';
import { describeMatch } from './nft-words.ts';

/** Packet filter rules as `nft -j list ruleset` writes them (libnftables-json(5)). */

type Json = Record<string, unknown>;

interface NftChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly type?: string;
  readonly hook?: string;
  readonly policy?: string;
  readonly dev?: string | string[];
}

interface NftRule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly expr?: readonly Json[];
}

interface NftSet {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly elem?: readonly unknown[];
}

const HOOKS: readonly string[] = ['ingress', 'prerouting', 'input', 'output', 'postrouting', 'egress'];
const FAMILIES: Readonly<Record<string, readonly (4 | 6)[]>> = { inet: [4, 6], ip: [4], ip6: [6], netdev: [4, 6] };

/** Statements that do not change a packet. */
const NEUTRAL = new Set(['counter', 'log', 'comment', 'notrack', 'last', 'secmark', 'flow', 'dup', 'ct helper']);
const NEUTRAL_TARGETS = new Set([
  'LOG',
  'NFLOG',
  'MARK',
  'CONNMARK',
  'SECMARK',
  'CONNSECMARK',
  'CT',
  'TOS',
  'DSCP',
  'TRACE',
]);

/**
 * @param told by the text of nft
 * @throws SyntaxError if it is not JSON; JSON that is not a ruleset has no chains
 */
export function parseNftRuleset(text: string, told: NftText = NO_NFT_TEXT): BaseChain[] {
  const { nftables = [] } = JSON.parse(text) as { nftables?: Json[] };
  const all = <T>(kind: string) => nftables.flatMap((object) => (kind in object ? [object[kind] as T] : []));
  const rules = new Map<string, NftRule[]>();
  for (const rule of all<NftRule>('rule')) {
    const key = `${rule.family} ${rule.table} ${rule.chain}`;
    const known = rules.get(key);
    if (known) known.push(rule);
    else rules.set(key, [rule]);
  }
  const sets = new Map(
    [...all<NftSet>('set'), ...all<NftSet>('map')].map((set) => [
      `${set.family} ${set.table} ${set.name}`,
      set.elem ?? [],
    ]),
  );
  const chains = all<NftChain>('chain');
  const context = (table: string): NftContext => ({
    set: (name) => sets.get(`${table} ${name}`),
    isTracked: !/"notrack":|"CT"/.test(text),
    isRewritten: /"(dnat|redirect|tproxy)":/.test(text),
  });
  const rulesOf = ({ family, table, name }: NftChain) =>
    (rules.get(`${family} ${table} ${name}`) ?? []).flatMap((rule) => readRule(rule, context(`${family} ${table}`)));
  const read = new Map(chains.map((chain) => [chain, rulesOf(chain)]));
  return chains.flatMap((chain) => {
    const { family, table, name, hook = '', policy, dev } = chain;
    const families = FAMILIES[family];
    if (!HOOKS.includes(hook) || !families || told.dormant.has(`${family} ${table}`)) return [];
    const siblings = chains.filter((other) => other.family === family && other.table === table);
    return [
      {
        name: `${family} ${table} ${name}`,
        hook: hook as Hook,
        families,
        devs: dev === undefined ? told.devs.get(`${family} ${table} ${name}`) : [dev].flat(),
        isNat: chain.type === 'nat',
        policy: policy === 'drop' ? 'drop' : 'accept',
        rules: read.get(chain) ?? [],
        chains: new Map(siblings.map((sibling) => [sibling.name, read.get(sibling) ?? []])),
        opening: (port) => openingOf(chain, port),
      },
    ];
  });
}

/**
 * Chains that packets pass and that are not walked: those of ARP, which finds VTEPs on the link, and those of bridge ports. Chains without a rule
 * that may drop are left out.
 */
export function unreadChains(text: string, isBridged: boolean): string[] {
  const { nftables = [] } = JSON.parse(text) as { nftables?: Json[] };
  const all = <T>(kind: string) => nftables.flatMap((object) => (kind in object ? [object[kind] as T] : []));
  const rules = all<NftRule>('rule');
  return all<NftChain>('chain')
    .filter(({ family, hook }) => hook !== undefined && (family === 'arp' || (family === 'bridge' && isBridged)))
    .filter(
      (chain) =>
        chain.policy === 'drop' || rules.some(({ family, table }) => family === chain.family && table === chain.table),
    )
    .map(({ family, table, name }) => `${family} ${table} ${name}`);
}

function openingOf({ family, table, name, hook }: NftChain, port: number): string {
  // firewalld removes rules of others from its table, or does not allow them.
  if (table === 'firewalld' && hook === 'input') {
    return `firewall-cmd --permanent --add-port=${port}/udp && firewall-cmd --reload`;
  }
  return `nft insert rule ${family} ${table} ${name} udp dport ${port} accept`;
}

/** One rule; a verdict map becomes one rule for each element. */
function readRule({ family, table, chain, handle, expr = [] }: NftRule, context: NftContext): Rule[] {
  const conditions: NftExpression[] = [];
  let action: Action = { kind: 'none' };
  let verb = '';
  let branches: [NftExpression, Action][] | undefined;
  let isKnown = true;
  for (const statement of expr) {
    const [kind = ''] = Object.keys(statement);
    const value = statement[kind];
    const verdict = verdictOf(kind, value);
    if (verdict) {
      action = verdict;
      verb = kind === 'reject' ? kind : wordOf(verdict);
    } else if (kind === 'match') conditions.push(value as NftExpression);
    else if (kind === 'vmap') {
      const { key, data } = value as { key: unknown; data: unknown };
      branches = elementsOf(data, context).map(([element, branch]) => {
        const [word = ''] = Object.keys(branch as Json);
        return [
          { op: '==', left: key, right: element },
          verdictOf(word, (branch as Json)[word]) ?? { kind: 'unknown' },
        ];
      });
    } else if (kind === 'mangle') {
      const written = writtenBy(value);
      if (written === 'unknown') isKnown = false;
      else if (written) action = { kind: 'rewrite', rewrite: written };
    } else if (!NEUTRAL.has(kind)) isKnown = false;
  }
  const words = [...conditions.map(describeMatch), ...(isKnown ? [] : ['…']), verb].filter(Boolean).join(' ');
  const rule = (more: NftExpression[], taken: Action): Rule => {
    const compiled = compileMatch([...conditions, ...more], context);
    return {
      name: `"${more.length > 0 ? [...more.map(describeMatch), wordOf(taken)].join(' ') : words}" (handle ${handle})`,
      matches: (packet) => {
        const match = compiled(packet);
        return isKnown || match === 'no' ? match : 'maybe';
      },
      action: isKnown || taken.kind !== 'none' ? taken : { kind: 'unknown' },
      exemptsFromTracking: expr.some((statement) => 'notrack' in statement),
      onlyPort: more.length > 0 ? undefined : onlyPortOf(conditions),
      removal: `nft delete rule ${family} ${table} ${chain} handle ${handle}`,
    };
  };
  return branches ? branches.map(([condition, taken]) => rule([condition], taken)) : [rule([], action)];
}

function elementsOf(data: unknown, { set }: NftContext): [unknown, unknown][] {
  const elements = typeof data === 'string' ? set(data.slice(1)) : (data as { set?: unknown[] }).set;
  return (elements ?? []) as [unknown, unknown][];
}

function verdictOf(kind: string, value: unknown): Action | undefined {
  switch (kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return { kind };
    case 'continue':
      return { kind: 'none' };
    case 'reject':
    case 'fwd':
      return { kind: 'drop' };
    case 'jump':
    case 'goto':
      return { kind, chain: (value as { target: string }).target };
    case 'queue':
      return { kind: 'unknown' };
    case 'masquerade':
    case 'snat':
    case 'redirect':
    case 'dnat':
      return { kind: 'rewrite', rewrite: translationOf(kind, value) };
    case 'xt': {
      const { type, name = '' } = (value ?? {}) as { type?: string; name?: string };
      if (type !== 'target') return undefined;
      if (name === 'REJECT') return { kind: 'drop' };
      return { kind: NEUTRAL_TARGETS.has(name) ? 'none' : 'unknown' };
    }
    default:
      return undefined;
  }
}

function translationOf(kind: string, value: unknown): Rewrite {
  const { addr, port, flags } = (value ?? {}) as { addr?: unknown; port?: unknown; flags?: unknown };
  const end = kind === 'masquerade' || kind === 'snat' ? 'source' : 'destination';
  const isChosen = kind === 'masquerade' || kind === 'redirect';
  const isRandom = [flags].flat().some((flag) => flag === 'random' || flag === 'fully-random');
  return {
    end,
    address: isChosen
      ? 'interface'
      : addr === undefined
        ? undefined
        : (typeof addr === 'string' && parseIp(addr)) || 'unknown',
    port: typeof port === 'number' ? port : port !== undefined || isRandom ? 'unknown' : undefined,
  };
}

/** The effect of a statement that sets a field; undefined: none on the destination. */
function writtenBy(value: unknown): Rewrite | 'unknown' | undefined {
  const { key, value: written } = value as { key: Json; value: unknown };
  const { payload } = key as { payload?: { protocol?: string; field?: string } };
  if (!payload) return undefined;
  const { protocol = '', field = '' } = payload;
  const port = typeof written === 'number' ? written : 'unknown';
  const address = (typeof written === 'string' && parseIp(written)) || 'unknown';
  if ((protocol === 'udp' || protocol === 'th') && field === 'dport') return { end: 'destination', port };
  if ((protocol === 'udp' || protocol === 'th') && field === 'sport') return { end: 'source', port };
  if ((protocol === 'ip' || protocol === 'ip6') && field === 'daddr') return { end: 'destination', address };
  if ((protocol === 'ip' || protocol === 'ip6') && field === 'saddr') return { end: 'source', address };
  // DSCP (RFC 2474) and the hop limit do not change the destination.
  const isMark = ['dscp', 'ecn', 'ttl', 'hoplimit', 'flowlabel'].includes(field);
  return isMark || ['tcp', 'icmp', 'icmpv6', 'ether', 'vlan'].includes(protocol) ? undefined : 'unknown';
}

function wordOf(action: Action): string {
  if (action.kind === 'rewrite') return wordOfRewrite(action.rewrite);
  if ('chain' in action) return `${action.kind} ${action.chain}`;
  return action.kind === 'none' || action.kind === 'unknown' ? '' : action.kind;
}

/** The name in nft, without the new address. */
function wordOfRewrite({ end, address, port }: Rewrite): string {
  if (address === 'interface')
    return end === 'source' ? 'masquerade' : `redirect${typeof port === 'number' ? ` to :${port}` : ''}`;
  const to = address !== undefined && address !== 'unknown' ? ` to ${address}` : '';
  return `${end === 'source' ? 'snat' : 'dnat'}${to}`;
}

/** The port of a rule that names only one. */
function onlyPortOf(conditions: readonly NftExpression[]): number | undefined {
  for (const { op, left, right } of conditions) {
    const { field } = (left as { payload?: { field?: string } }).payload ?? {};
    if (field === 'dport' && op === '==' && typeof right === 'number') return right;
  }
  return undefined;
}

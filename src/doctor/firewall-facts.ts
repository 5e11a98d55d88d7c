import { type BpfPlaces, controlGroupPrograms, tcxPrograms } from '../sys/bpf-programs.ts';
import type { Link } from '../sys/netlink/links.ts';
import type { NetlinkSocket } from '../sys/netlink/netlink-socket.ts';
import { hasRefusingRules, packetHooks } from '../sys/netlink/packet-hooks.ts';
import type { FirewallFacts } from './firewall/firewall-check.ts';
import type { BaseChain } from './firewall/firewall-walk.ts';
import { type IptablesRules, parseIptables } from './firewall/iptables-ruleset.ts';
import { parseNftRuleset, unreadChains } from './firewall/nft-ruleset.ts';
import { type NftText, NO_NFT_TEXT, needsNftText, parseNftText } from './firewall/nft-text.ts';
import { readProcFile } from './proc-files.ts';
import { outputOf } from './program-output.ts';

/** Where the legacy iptables modules list their tables. */
const LEGACY_TABLES = { 4: '/proc/net/ip_tables_names', 6: '/proc/net/ip6_tables_names' } as const;
const LEGACY_ARP_TABLES = '/proc/net/arp_tables_names';

/** How many stacked interfaces are followed. */
const MAX_STACKED = 4;

/**
 * The packet filters of this network namespace, as `nft`, `iptables-save` and their legacy versions print them, and other places where packets may
 * end.
 *
 * @param devs the interfaces that VXLAN goes by
 * @param isVtep this process is the VTEP, whose control group counts
 */
export async function gatherFirewall(
  netlink: NetlinkSocket,
  links: readonly Link[],
  devs: readonly Link[],
  isVtep: boolean,
): Promise<FirewallFacts> {
  const [nft, xfrm, legacyArp, ...iptables] = await Promise.all([
    outputOf('nft', ['-j', 'list', 'ruleset']),
    outputOf('ip', ['xfrm', 'policy']),
    readProcFile(LEGACY_ARP_TABLES),
    iptablesOf(4),
    iptablesOf(6),
    legacyOf(4),
    legacyOf(6),
  ]);
  const rules: IptablesRules[] = [];
  const unseen: string[] = [];
  const below = new Set(devs.flatMap((dev) => lowerOf(dev, links)));
  const lower = [...below].filter((link) => !devs.includes(link));
  for (const each of iptables) {
    if (each && 'unreadable' in each) unseen.push(each.unreadable);
    else if (each) rules.push(each);
  }
  const chains = rules.flatMap((each) => each.chains);
  if ('error' in nft) {
    if (chains.length === 0) return { unreadable: [nft.error, ...unseen].join('; ') };
    unseen.push(`${nft.error}, so the rules of nftables are not known`);
  } else {
    const twins = new Set(rules.flatMap((each) => each.twins));
    try {
      const own = parseNftRuleset(nft.text, await textOf(nft.text)).filter(({ name }) => !twins.has(name));
      chains.unshift(...own.map((chain) => atLower(chain, lower)));
    } catch (error) {
      return { unreadable: `nft: ${(error as Error).message}` };
    }
    const isBridged = devs.some(
      ({ kind, master }) => kind === 'bridge' || links.some((link) => link.index === master && link.kind === 'bridge'),
    );
    const unread = unreadChains(nft.text, isBridged);
    if (unread.length > 0) unseen.push(`the rules of ${unread.join(', ')} are not evaluated`);
  }
  const { found, unasked } = askBpf([...devs, ...lower], isVtep);
  const hooks = [
    ...[...devs, ...lower].flatMap((dev) => packetHooks(netlink, dev)),
    ...found,
    ...('text' in xfrm && /^src .*(?:\n\t(?!socket).*)*dir (?:in|out)\b/m.test(xfrm.text)
      ? ['IPsec policies (ip xfrm policy)']
      : []),
    ...(hasRefusingRules(netlink) ? ['routing rules that refuse (ip rule)'] : []),
    ...(legacyArp?.trim() ? ['arptables rules'] : []),
  ];
  if (hooks.length > 0) unseen.push(`it cannot be evaluated whether these drop it: ${hooks.join(', ')}`);
  return { chains, ...(unseen.length > 0 && { unseen: unseen.join('; ') }), ...(unasked !== undefined && { unasked }) };
}

/** The interfaces below an interface: ports of a bridge or bond, the parent of a VLAN. */
function lowerOf({ index, lower }: Link, links: readonly Link[], depth = 0): Link[] {
  const next = links.filter((link) => link.master === index || (lower !== 0 && link.index === lower));
  return depth > MAX_STACKED ? [] : next.flatMap((link) => [link, ...lowerOf(link, links, depth + 1)]);
}

/** It is not known which of several ports a packet uses, nor what a rule matches while a tag is still on it. */
function atLower(chain: BaseChain, lower: readonly Link[]): BaseChain {
  return chain.devs?.some((dev) => lower.some(({ name }) => name === dev)) ? { ...chain, devs: undefined } : chain;
}

/** What the JSON of nft leaves out, if anything. */
async function textOf(json: string): Promise<NftText> {
  if (!needsNftText(json)) return NO_NFT_TEXT;
  const output = await outputOf('nft', ['-t', 'list', 'ruleset']);
  return 'text' in output ? parseNftText(output.text) : NO_NFT_TEXT;
}

/** The result of bpf(2), which is often forbidden for a service. If it could not be asked, the finding says so, and this is no fault of the host. */
function askBpf(devs: readonly Link[], isVtep: boolean): { found: string[]; unasked: string | undefined } {
  const tcx = devs.map(tcxPrograms);
  const group: BpfPlaces = isVtep ? controlGroupPrograms() : { refusal: 'no vtepd runs' };
  const refusals = new Map<string, Set<string>>();
  const found: string[] = [];
  for (const [place, answers] of [
    ['tcx', tcx],
    ['control groups', [group]],
  ] as const) {
    for (const answer of answers) {
      if ('found' in answer) found.push(...answer.found);
      else refusals.set(answer.refusal, (refusals.get(answer.refusal) ?? new Set()).add(place));
    }
  }
  const told = [...refusals].map(
    ([why, places]) => `BPF programs of ${[...places].join(' and ')} are not checked (${why})`,
  );
  return { found, unasked: told.length > 0 ? told.join('; ') : undefined };
}

/** undefined: there are none, or another program prints them. */
async function iptablesOf(family: 4 | 6): Promise<IptablesRules | undefined> {
  const output = await outputOf(family === 4 ? 'iptables-save' : 'ip6tables-save', []);
  return 'text' in output ? parseIptables(output.text, family) : undefined;
}

/** The rules of legacy iptables, if the present one keeps its rules in nftables and does not show the legacy ones. */
async function legacyOf(family: 4 | 6): Promise<IptablesRules | { unreadable: string } | undefined> {
  const tables = (await readProcFile(LEGACY_TABLES[family]))?.trim().split(/\s+/) ?? [];
  if (tables.length === 0 || tables[0] === '') return undefined;
  const program = family === 4 ? 'iptables' : 'ip6tables';
  const [present, legacy] = await Promise.all([
    outputOf(`${program}-save`, []),
    outputOf(`${program}-legacy-save`, []),
  ]);
  // The present name is that of the legacy version.
  if ('text' in present && !present.text.includes('(nf_tables)') && present.text.trim() !== '') return undefined;
  if ('text' in legacy) return parseIptables(legacy.text, family, `${program}-legacy`);
  return { unreadable: `tables ${tables.join(', ')} of the older ${program} cannot be read: ${legacy.error}` };
}

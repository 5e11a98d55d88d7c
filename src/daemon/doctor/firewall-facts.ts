import type { Link } from '../../sys/links.ts';
import type { NetlinkSocket } from '../../sys/netlink-socket.ts';
import { hasRefusingRules, packetHooks } from '../../sys/packet-hooks.ts';
import type { FirewallFacts } from './firewall-check.ts';
import { type IptablesRules, parseIptables } from './iptables-ruleset.ts';
import { parseNftRuleset, unreadChains } from './nft-ruleset.ts';
import { readProcFile } from './proc-files.ts';
import { outputOf } from './program-output.ts';

/** Where kernels before nftables list the tables that they have rules in. */
const LEGACY_TABLES = { 4: '/proc/net/ip_tables_names', 6: '/proc/net/ip6_tables_names' } as const;
const LEGACY_ARP_TABLES = '/proc/net/arp_tables_names';

/**
 * The packet filters of this network namespace, as `nft`, `iptables-save` and their older kin tell them, and where else packets may end.
 *
 * @param devs the interfaces that VXLAN goes by
 */
export async function gatherFirewall(
  netlink: NetlinkSocket,
  links: readonly Link[],
  devs: readonly Link[],
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
  for (const each of iptables) {
    if (each && 'unreadable' in each) unseen.push(each.unreadable);
    else if (each) rules.push(each);
  }
  const chains = rules.flatMap((each) => each.chains);
  if ('error' in nft) {
    if (chains.length === 0) return { unreadable: [nft.error, ...unseen].join('; ') };
    unseen.push(`${nft.error}, and what it would tell is not known`);
  } else {
    const twins = new Set(rules.flatMap((each) => each.twins));
    try {
      chains.unshift(...parseNftRuleset(nft.text).filter(({ name }) => !twins.has(name)));
    } catch (error) {
      return { unreadable: `nft: ${(error as Error).message}` };
    }
    const isBridged = devs.some(
      ({ kind, master }) => kind === 'bridge' || links.some((link) => link.index === master && link.kind === 'bridge'),
    );
    const unread = unreadChains(nft.text, isBridged);
    if (unread.length > 0) unseen.push(`what the rules of ${unread.join(', ')} do to it is not looked at`);
  }
  const hooks = [
    ...devs
      .flatMap((dev) => [dev, ...links.filter(({ master }) => master === dev.index)])
      .flatMap((dev) => packetHooks(netlink, dev)),
    ...('text' in xfrm && /^src .*(?:\n\t(?!socket).*)*dir (?:in|out)\b/m.test(xfrm.text)
      ? ['policies of IPsec (ip xfrm policy)']
      : []),
    ...(hasRefusingRules(netlink) ? ['rules of routing that refuse (ip rule)'] : []),
    ...(legacyArp?.trim() ? ['rules of arptables'] : []),
  ];
  if (hooks.length > 0) unseen.push(`what becomes of it by ${hooks.join(', ')} cannot be told`);
  return { chains, ...(unseen.length > 0 && { unseen: unseen.join('; ') }) };
}

/** undefined: there are none, or others tell them. */
async function iptablesOf(family: 4 | 6): Promise<IptablesRules | undefined> {
  const output = await outputOf(family === 4 ? 'iptables-save' : 'ip6tables-save', []);
  return 'text' in output ? parseIptables(output.text, family) : undefined;
}

/** The rules of the older iptables where the present one keeps its own in nftables and does not show them. */
async function legacyOf(family: 4 | 6): Promise<IptablesRules | { unreadable: string } | undefined> {
  const tables = (await readProcFile(LEGACY_TABLES[family]))?.trim().split(/\s+/) ?? [];
  if (tables.length === 0 || tables[0] === '') return undefined;
  const program = family === 4 ? 'iptables' : 'ip6tables';
  const [present, legacy] = await Promise.all([
    outputOf(`${program}-save`, []),
    outputOf(`${program}-legacy-save`, []),
  ]);
  // It is the older one that the present name stands for.
  if ('text' in present && !present.text.includes('(nf_tables)') && present.text.trim() !== '') return undefined;
  if ('text' in legacy) return parseIptables(legacy.text, family, `${program}-legacy`);
  return { unreadable: `tables ${tables.join(', ')} of the older ${program} cannot be read: ${legacy.error}` };
}

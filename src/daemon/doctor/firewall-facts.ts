import type { FirewallFacts } from './firewall-check.ts';
import { type IptablesRules, parseIptables } from './iptables-ruleset.ts';
import { parseNftRuleset } from './nft-ruleset.ts';
import { readProcFile } from './proc-files.ts';
import { outputOf } from './program-output.ts';

/** Where kernels before nftables list the tables that they have rules in. */
const LEGACY_TABLES = { 4: '/proc/net/ip_tables_names', 6: '/proc/net/ip6_tables_names' } as const;

/** The packet filters of this network namespace, as `nft` and `iptables-save` tell them. */
export async function gatherFirewall(): Promise<FirewallFacts> {
  const [nft, ...iptables] = await Promise.all([
    outputOf('nft', ['-j', 'list', 'ruleset']),
    iptablesOf(4),
    iptablesOf(6),
  ]);
  const rules: IptablesRules[] = [];
  for (const each of iptables) {
    if (each && 'unreadable' in each) return each;
    if (each) rules.push(each);
  }
  if ('error' in nft) {
    if (!nft.isAbsent || rules.length === 0) return { unreadable: nft.error };
    const unseen = `${nft.error}, and what it would tell is not known`;
    return { chains: rules.flatMap(({ chains }) => chains), unseen };
  }
  const twins = new Set(rules.flatMap((each) => each.twins));
  try {
    const chains = parseNftRuleset(nft.text).filter(({ name }) => !twins.has(name));
    return { chains: [...chains, ...rules.flatMap((each) => each.chains)] };
  } catch (error) {
    return { unreadable: `nft: ${(error as Error).message}` };
  }
}

/** undefined: there are none, or nft tells them. */
async function iptablesOf(family: 4 | 6): Promise<IptablesRules | { unreadable: string } | undefined> {
  const output = await outputOf(family === 4 ? 'iptables-save' : 'ip6tables-save', []);
  if ('text' in output) return parseIptables(output.text, family);
  const tables = await readProcFile(LEGACY_TABLES[family]);
  return tables ? { unreadable: output.error } : undefined;
}

/** Facts that the JSON of nft omits in some versions, and its text has: the interfaces of a chain, and whether a table is dormant. */
export interface NftText {
  /** Tables of which no rule is in force, `family table`. */
  readonly dormant: ReadonlySet<string>;
  /** Interfaces of a chain at ingress or egress, by `family table chain`. */
  readonly devs: ReadonlyMap<string, readonly string[]>;
}

export const NO_NFT_TEXT: NftText = { dormant: new Set(), devs: new Map() };

/** Whether the text is needed. @param json of `nft -j list ruleset` */
export function needsNftText(json: string): boolean {
  return /"hook": ?"(ingress|egress)"|"table": ?\{[^}]*"flags":/.test(json);
}

/** @param text of `nft list ruleset` */
export function parseNftText(text: string): NftText {
  const dormant = new Set<string>();
  const devs = new Map<string, readonly string[]>();
  let [table, chain] = ['', ''];
  for (const line of text.split('\n')) {
    table = /^table (\S+ \S+) \{/.exec(line)?.[1] ?? table;
    chain = /^\tchain (\S+) \{/.exec(line)?.[1] ?? chain;
    if (/^\tflags .*\bdormant\b/.test(line)) dormant.add(table);
    const [, named] = /^\t\ttype \S+ hook \S+ devices? (?:= )?(.*?) priority /.exec(line) ?? [];
    if (named !== undefined) devs.set(`${table} ${chain}`, named.match(/[^\s{},"]+/g) ?? []);
  }
  return { dormant, devs };
}

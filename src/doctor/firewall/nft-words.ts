import type { NftExpression } from './nft-match.ts';

/** A condition as nft writes it, as far as known; `…` stands for the rest. */
export function describeMatch({ op, left, right }: NftExpression): string {
  return [describe(left), ...(op === '==' || op === 'in' ? [] : [op]), describe(right)].join(' ');
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return value.map(describe).join(', ');
  if (typeof value !== 'object' || value === null) return `${value}`;
  const { meta, payload, ct, fib, concat, set, elem, range, prefix } = value as {
    meta?: { key: string };
    payload?: { protocol?: string; field?: string };
    ct?: { key: string };
    fib?: { result: string; flags: string[] };
    concat?: unknown[];
    set?: unknown;
    elem?: { val: unknown };
    range?: [unknown, unknown];
    prefix?: { addr: string; len: number };
  };
  if (meta)
    return /^[io]if|^l4proto|^mark/.test(meta.key) ? meta.key.replace('l4proto', 'meta l4proto') : `meta ${meta.key}`;
  if (payload?.protocol) return `${payload.protocol} ${payload.field}`;
  if (ct) return `ct ${ct.key}`;
  if (fib) return `fib ${fib.flags.join(' . ')} ${fib.result}`;
  if (concat) return concat.map(describe).join(' . ');
  if (set !== undefined) return `{ ${describe(set)} }`;
  if (elem) return describe(elem.val);
  if (range) return `${describe(range[0])}-${describe(range[1])}`;
  return prefix ? `${prefix.addr}/${prefix.len}` : '…';
}

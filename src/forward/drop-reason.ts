import { HEADER_REASONS, reasonIndex } from '../encap/reading.ts';

/**
 * Why a frame was dropped, in the order in which the reasons are tested; the first that holds counts. The names are API
 * (`vtepctl drops`, metrics). Some belong to features that later releases bring; their counters stay at zero until then.
 */

/** The frame went on. */
export const FORWARDED = -1;

/** Underlay to overlay. */
export const RX_REASONS = [
  'short',
  'vtep-not-allowed',
  'own-packet',
  ...HEADER_REASONS,
  'unknown-vni',
  'wrong-group',
  'ecn',
  'short-inner',
  'bad-source-mac',
  'own-mac',
  'link-local',
  'inner-vlan',
  'oversize',
  'static-conflict',
  'storm',
  'tap-down',
] as const;

/** Overlay to underlay. */
export const TX_REASONS = [
  'short',
  'bad-source-mac',
  'static-conflict',
  'inner-vlan',
  'unknown-vlan',
  'link-local',
  'suppressed',
  'local',
  'flood-off',
  'storm',
  'no-remote',
  'oversize',
  'send-full',
  'send-error',
] as const;

type Numbered<Names extends readonly string[]> = { readonly [Name in Names[number]]: number };

const numbered = <const Names extends readonly string[]>(names: Names) =>
  Object.freeze(Object.fromEntries(names.map((name, index) => [name, index]))) as Numbered<Names>;

/** Reason names to small integers: what the data path counts by. */
export const RX_DROP = numbered(RX_REASONS);
export const TX_DROP = numbered(TX_REASONS);

const FIRST_HEADER_DROP = RX_DROP[HEADER_REASONS[0]];

/** The RX_DROP reason of what a codec finds wrong with a header. @param reading a HEADER_FAULT */
export function headerDrop(reading: number): number {
  return FIRST_HEADER_DROP + reasonIndex(reading);
}

import { HEADER_REASONS, reasonIndex } from '../encap/reading.ts';

/**
 * Why a frame was dropped. The reasons are tested in this order; the first that applies counts. The names are API (`vtepctl drops`, metrics). Some
 * reasons belong to features of later releases; their counters stay at zero until then.
 */

/** The frame was forwarded. */
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

/** Maps reason names to small integers. The data path counts by these numbers. */
export const RX_DROP = numbered(RX_REASONS);
export const TX_DROP = numbered(TX_REASONS);

const FIRST_HEADER_DROP = RX_DROP[HEADER_REASONS[0]];

/** The RX_DROP reason for a header fault that a codec finds. @param reading a HEADER_FAULT */
export function headerDrop(reading: number): number {
  return FIRST_HEADER_DROP + reasonIndex(reading);
}

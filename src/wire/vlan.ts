import { ETHERTYPE } from './ethernet.ts';

/**
 * 802.1Q and 802.1ad tags over a caller's buffer.
 *
 *      0             6             12     14         16
 *     +-------------+-------------+------+----------+------+---------
 *     | destination | source      | TPID | PCP D VID | type | payload
 *     +-------------+-------------+------+----------+------+---------
 */

export const VLAN_TAG_BYTES = 4;

/** A service tag and a customer tag (802.1ad), after the tag of a trunk. No code looks at more tags. */
export const MAX_VLAN_TAGS = 3;

const TPID_AT = 12;
const TCI_AT = 14;

/** Both MACs, the tag, and the EtherType after it. */
const TAGGED_HEADER_BYTES = 18;

/** Whether the frame has a complete tag. A frame that ends inside its tag has none. */
export function isVlanTagged(view: DataView, at: number, length: number): boolean {
  if (length < TAGGED_HEADER_BYTES) return false;
  const type = view.getUint16(at + TPID_AT);
  return type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan;
}

/** VLAN id of a tagged frame, 0–4095. */
export function vlanId(view: DataView, at: number): number {
  return view.getUint16(at + TCI_AT) & 0x0fff;
}

/**
 * The VLAN of a frame on a trunk, 1–4095: that of its outer 802.1Q tag. 0: it is untagged, or its tag has only a priority. A service tag (802.1ad)
 * does not belong to the trunk and counts as payload.
 */
export function trunkVlan(view: DataView, at: number, length: number): number {
  return isTrunkTagged(view, at, length) ? vlanId(view, at) : 0;
}

/** Removes the tag of a trunk by moving the MACs towards the payload. Returns by how many octets the start of the frame moved forward. */
export function popTrunkTag(view: DataView, at: number, length: number): number {
  if (!isTrunkTagged(view, at, length)) return 0;
  moveMacsBehindTag(view, at);
  return VLAN_TAG_BYTES;
}

/** Inserts a tag of priority 0. The frame then begins VLAN_TAG_BYTES earlier: the MACs move into that room. */
export function pushTrunkTag(view: DataView, at: number, vlan: number): void {
  pushTag(view, at, (ETHERTYPE.vlan << 16) | vlan);
}

/** @param tag type and TCI */
function pushTag(view: DataView, at: number, tag: number): void {
  // Front to back: each word is read before it is overwritten.
  view.setInt32(at - 4, view.getInt32(at));
  view.setInt32(at, view.getInt32(at + 4));
  view.setInt32(at + 4, view.getInt32(at + 8));
  view.setInt32(at + 8, tag);
}

/** Whether any outer tag of the frame names a VLAN. VID 0 does not: it has only a priority (802.1Q §9.6). */
export function hasVlan(view: DataView, at: number, length: number): boolean {
  // With an offset of VLAN_TAG_BYTES, the next tag is at the place of the first one.
  for (let skip = 0; isVlanTagged(view, at + skip, length - skip); skip += VLAN_TAG_BYTES) {
    if (vlanId(view, at + skip) !== 0) return true;
  }
  return false;
}

/**
 * Removes all outer tags by moving the MACs towards the payload. Returns by how many octets the start of the frame moved forward.
 *
 * @param tags output: the first tags, type and TCI
 */
export function stripVlanTags(view: DataView, at: number, length: number, tags?: Int32Array): number {
  let skip = 0;
  for (; isVlanTagged(view, at + skip, length - skip); skip += VLAN_TAG_BYTES) {
    // A write beyond the end of a typed array has no effect.
    if (tags !== undefined) tags[skip / VLAN_TAG_BYTES] = view.getInt32(at + skip + TPID_AT);
    moveMacsBehindTag(view, at + skip);
  }
  return skip;
}

/** The tags that were removed from a frame, so that an answer can get them too. The caller owns and reuses it. */
export class StrippedTags {
  /** The outermost tag first. */
  readonly #tags = new Int32Array(MAX_VLAN_TAGS);
  #count = 0;

  /** As `stripVlanTags`. */
  strip(view: DataView, at: number, length: number): number {
    const bytes = stripVlanTags(view, at, length, this.#tags);
    this.#count = bytes / VLAN_TAG_BYTES;
    return bytes;
  }

  /** Whether an answer can have all of the tags. */
  get areKnown(): boolean {
    return this.#count <= MAX_VLAN_TAGS;
  }

  /**
   * Inserts the tags into a frame, in front of which there is room for MAX_VLAN_TAGS. Returns by how many octets the start of the frame moved back.
   */
  putOn(view: DataView, at: number): number {
    for (let i = 1; i <= this.#count; i++) {
      pushTag(view, at - (i - 1) * VLAN_TAG_BYTES, this.#tags[this.#count - i] as number);
    }
    return this.#count * VLAN_TAG_BYTES;
  }
}

function isTrunkTagged(view: DataView, at: number, length: number): boolean {
  return length >= TAGGED_HEADER_BYTES && view.getUint16(at + TPID_AT) === ETHERTYPE.vlan;
}

/** Overwrites the tag. The frame then begins VLAN_TAG_BYTES later. */
function moveMacsBehindTag(view: DataView, at: number): void {
  // Back to front: each word is read before it is overwritten.
  view.setInt32(at + 12, view.getInt32(at + 8));
  view.setInt32(at + 8, view.getInt32(at + 4));
  view.setInt32(at + 4, view.getInt32(at));
}

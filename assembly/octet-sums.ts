/**
 * The sums of `OctetSums` (src/wire/octet-sums.ts) by SIMD, over the worker's slab. Nothing but copySum's destination is written: no data
 * segments, no stack, no runtime.
 *
 * Words are added as the machine has them, little-endian, and the octets of the folded sum swapped (RFC 1071 §2 (B)).
 *
 * Each 64-bit lane adds up whole values in `low`, carries lost, and their upper halves in `high`. Since the values' sum is
 * (sum of lower halves) + 2^32 * (sum of upper halves), the lower halves are `low - (high << 32)` modulo 2^64: three instructions a vector,
 * exact for anything that fits a memory. Two pairs of accumulators, so that one addition need not wait for the last.
 */

/** Octets of one round of the vector loop. */
const ROUND: usize = 64;

export function sum(at: usize, length: usize): u32 {
  let total: u64 = 0;
  let p = at;
  const end = at + length;
  if (length >= ROUND) {
    let lowA = i64x2.splat(0);
    let highA = i64x2.splat(0);
    let lowB = i64x2.splat(0);
    let highB = i64x2.splat(0);
    const last = end - ROUND;
    do {
      const a = v128.load(p);
      const b = v128.load(p, 16);
      const c = v128.load(p, 32);
      const d = v128.load(p, 48);
      lowA = i64x2.add(lowA, a);
      highA = i64x2.add(highA, i64x2.shr_u(a, 32));
      lowB = i64x2.add(lowB, b);
      highB = i64x2.add(highB, i64x2.shr_u(b, 32));
      lowA = i64x2.add(lowA, c);
      highA = i64x2.add(highA, i64x2.shr_u(c, 32));
      lowB = i64x2.add(lowB, d);
      highB = i64x2.add(highB, i64x2.shr_u(d, 32));
      p += ROUND;
    } while (p <= last);
    total = laneSum(i64x2.add(lowA, lowB), i64x2.add(highA, highB));
  }
  while (end - p >= 8) {
    const value = load<u64>(p);
    total += (value & 0xffff_ffff) + (value >> 32);
    p += 8;
  }
  if (length & 4) {
    total += load<u32>(p);
    p += 4;
  }
  if (length & 2) {
    total += load<u16>(p);
    p += 2;
  }
  // The first octet of a word, and so its low half here and its high half on the wire.
  if (length & 1) total += load<u8>(p);
  return swappedFold(total);
}

export function equalUnder(mask: usize, a: usize, b: usize, length: usize): bool {
  const last = length - 16;
  for (let offset: usize = 0; offset < last; offset += 16) {
    if (differ(mask + offset, a + offset, b + offset)) return false;
  }
  // The last vector ends where the octets end, so that nothing behind them is read.
  return !differ(mask + last, a + last, b + last);
}

function differ(mask: usize, a: usize, b: usize): bool {
  return v128.any_true(v128.and(v128.xor(v128.load(a), v128.load(b)), v128.load(mask)));
}

export function copySum(to: usize, from: usize, length: usize): u32 {
  let total: u64 = 0;
  let p = from;
  let q = to;
  const end = from + length;
  if (length >= ROUND) {
    let lowA = i64x2.splat(0);
    let highA = i64x2.splat(0);
    let lowB = i64x2.splat(0);
    let highB = i64x2.splat(0);
    const last = end - ROUND;
    do {
      const a = v128.load(p);
      const b = v128.load(p, 16);
      const c = v128.load(p, 32);
      const d = v128.load(p, 48);
      v128.store(q, a);
      v128.store(q, b, 16);
      v128.store(q, c, 32);
      v128.store(q, d, 48);
      lowA = i64x2.add(lowA, a);
      highA = i64x2.add(highA, i64x2.shr_u(a, 32));
      lowB = i64x2.add(lowB, b);
      highB = i64x2.add(highB, i64x2.shr_u(b, 32));
      lowA = i64x2.add(lowA, c);
      highA = i64x2.add(highA, i64x2.shr_u(c, 32));
      lowB = i64x2.add(lowB, d);
      highB = i64x2.add(highB, i64x2.shr_u(d, 32));
      p += ROUND;
      q += ROUND;
    } while (p <= last);
    total = laneSum(i64x2.add(lowA, lowB), i64x2.add(highA, highB));
  }
  while (end - p >= 8) {
    const value = load<u64>(p);
    store<u64>(q, value);
    total += (value & 0xffff_ffff) + (value >> 32);
    p += 8;
    q += 8;
  }
  if (length & 4) {
    const value = load<u32>(p);
    store<u32>(q, value);
    total += value;
    p += 4;
    q += 4;
  }
  if (length & 2) {
    const value = load<u16>(p);
    store<u16>(q, value);
    total += value;
    p += 2;
    q += 2;
  }
  if (length & 1) {
    const value = load<u8>(p);
    store<u8>(q, value);
    total += value;
  }
  return swappedFold(total);
}

/** What both lanes added up. 2^32 is 1 modulo 2^16 - 1, so the upper halves count as they are. */
function laneSum(low: v128, high: v128): u64 {
  const lower = i64x2.sub(low, i64x2.shl(high, 32));
  const both = i64x2.add(lower, high);
  return i64x2.extract_lane(both, 0) + i64x2.extract_lane(both, 1);
}

/** Folds to 16 bits, carries added in, and swaps their octets. 65,536 octets add up to less than 2^46. */
function swappedFold(total: u64): u32 {
  let folded = <u32>((total & 0xffff) + ((total >> 16) & 0xffff) + (total >> 32));
  folded = (folded & 0xffff) + (folded >> 16);
  folded = (folded & 0xffff) + (folded >> 16);
  return ((folded << 8) & 0xff00) | (folded >> 8);
}

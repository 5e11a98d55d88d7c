import { ETHERNET_HEADER_BYTES } from './ethernet.ts';
import type { FrameHeaders } from './ip.ts';

/**
 * A hash that is equal for all frames of one inner flow. Its input: addresses, protocol and ports for TCP and UDP; addresses for other IP (so that
 * the fragments of one datagram stay together); MACs and type for everything else. It selects the outer source port (RFC 7348 §5).
 *
 * @param headers what `locateHeaders` found in this frame
 * @returns 31 bits, unsigned, which is also a small integer for V8
 */
export function flowHash(view: DataView, at: number, headers: FrameHeaders): number {
  const { ipVersion, networkAt } = headers;
  // Signed words are small integers for V8: no call allocates a heap number.
  let hash = 0x9e37_79b9 | 0;
  if (ipVersion === 0) {
    for (let offset = 0; offset < 12; offset += 4) hash = mix(hash, view.getInt32(at + offset));
    hash = mix(hash, view.getUint16(at + ETHERNET_HEADER_BYTES - 2));
  } else {
    const first = ipVersion === 4 ? networkAt + 12 : networkAt + 8;
    const last = ipVersion === 4 ? networkAt + 20 : networkAt + 40;
    for (let offset = first; offset < last; offset += 4) hash = mix(hash, view.getInt32(offset));
    hash = mix(hash, headers.transport);
    if (headers.transport !== 0) hash = mix(hash, view.getInt32(headers.transportAt));
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85eb_ca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 1;
}

/** One round of MurmurHash3 (Appleby, public domain). */
function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e_2d51);
  k = (k << 15) | (k >>> 17);
  const h = hash ^ Math.imul(k, 0x1b87_3593);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe654_6b64) | 0;
}

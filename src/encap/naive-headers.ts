/** Reads and writes headers bit by bit. It is simple, not fast: the reference for the tests of the codecs, which shares no code with them. */

/** The expected reading of the octets of a datagram. */
export interface NaiveReading {
  /** "ok", the drop reason, or "short". For "short" no other field is valid. */
  readonly verdict: string;
  /** The value of the VNI field. */
  readonly vni?: number;
  /** Whether the header belongs to this encapsulation, so that the VNI is valid. */
  readonly hasVni?: boolean;
  /** Octets of the header. */
  readonly bytes?: number;
}

/** An encapsulation, by its RFC. */
export interface NaiveCodec {
  readonly name: string;
  readonly write: (vni: number) => number[];
  readonly read: (octets: readonly number[], dropReservedBits: boolean) => NaiveReading;
  /** Headers, good and bad, in hexadecimal. Each differs from a written header in something that a peer could do. */
  readonly variants: readonly string[];
}

/** RFC 7348 §5, and draft-ietf-nvo3-vxlan-gpe §3 for payloads that are no Ethernet frames. */
export const naiveVxlan: NaiveCodec = {
  name: 'VXLAN',
  write: (vni) => octetsOf(`00001000${'0'.repeat(24)}${vni.toString(2).padStart(24, '0')}${'0'.repeat(8)}`),
  read: (octets, dropReservedBits) => {
    if (octets.length < 8) return { verdict: 'short' };
    const bits = bitsOf(octets.slice(0, 8));
    const reading = { vni: number(bits.slice(32, 56)), hasVni: bits[4] === '1', bytes: 8 };
    if (!reading.hasVni) return { verdict: 'no-i-flag', ...reading };
    // Version 0, the P flag, and a next protocol that is neither none nor Ethernet.
    const saysGpe = bits.slice(0, 4) === '0000' && bits[5] === '1';
    const isOther = saysGpe && ![0, 3].includes(number(bits.slice(24, 32)));
    const hasReserved = (bits.slice(0, 4) + bits.slice(5, 32) + bits.slice(56)).includes('1');
    const isRefused = isOther || (dropReservedBits && hasReserved);
    return { verdict: isRefused ? 'reserved-bits' : 'ok', ...reading };
  },
  variants: [
    // Each flag alone and beside the I flag.
    ...Array.from({ length: 8 }, (_, bit) => hex(1 << bit)).flatMap((flag) => [`${flag}00000000123400`]),
    ...Array.from({ length: 8 }, (_, bit) => hex(0x08 | (1 << bit))).map((flags) => `${flags}00000000123400`),
    // A policy (VXLAN-GBP), payloads of VXLAN-GPE, another version of it, and reserved bits at both ends.
    ...['8808010200123400', '0c00000300123400', '0c00000100123400', '0c00000000123400', '1c00000100123400'],
    ...['0800000000123401', '08ffffff00123400', '08ffffffffffffff', '0000000000123400', 'ffffffffffffffff'],
  ],
};

export function bitsOf(octets: readonly number[]): string {
  return octets.map((octet) => octet.toString(2).padStart(8, '0')).join('');
}

function octetsOf(bits: string): number[] {
  return (bits.match(/.{8}/g) ?? []).map(number);
}

function number(bits: string): number {
  return Number.parseInt(bits, 2);
}

function hex(octet: number): string {
  return octet.toString(16).padStart(2, '0');
}

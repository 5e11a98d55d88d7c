/**
 * MAC and IP addresses as the control plane handles them: canonical strings, so that equal addresses are
 * `===` and read the same in flags, JSON and logs. The packet path never sees these strings; it works on bytes and words.
 */

declare const macBrand: unique symbol;
declare const ipBrand: unique symbol;

/** Lower-case, colon-separated MAC address, e.g. `02:00:00:00:00:0a`. */
export type MacAddress = string & { readonly [macBrand]: true };

/** Dotted IPv4, or IPv6 in the canonical form of RFC 5952. Never carries a zone. */
export type IpAddress = string & { readonly [ipBrand]: true };

/** A MAC address as two unsigned words: `high` the first four octets, `low` the last two. */
export interface MacWords {
  readonly high: number;
  readonly low: number;
}

const MAC_PATTERN = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** Reads `aa:bb:cc:dd:ee:ff` in either case; anything else is undefined. */
export function parseMac(text: string): MacAddress | undefined {
  const lower = text.toLowerCase();
  return MAC_PATTERN.test(lower) ? (lower as MacAddress) : undefined;
}

export function macWords(mac: MacAddress): MacWords {
  const digits = mac.replaceAll(':', '');
  return { high: Number.parseInt(digits.slice(0, 8), 16), low: Number.parseInt(digits.slice(8), 16) };
}

/** @param high first four octets, unsigned 32 bit  @param low last two octets, unsigned 16 bit */
export function formatMac(high: number, low: number): MacAddress {
  const digits = (high >>> 0).toString(16).padStart(8, '0') + (low & 0xffff).toString(16).padStart(4, '0');
  return (digits.match(/../g) as string[]).join(':') as MacAddress;
}

/** The group bit: broadcast and multicast (IEEE 802, first bit on the wire). */
export function isGroupMac(mac: MacAddress): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

export function isZeroMac(mac: MacAddress): boolean {
  return mac === '00:00:00:00:00:00';
}

/** Reads an IPv4 or IPv6 address without zone; anything else is undefined. IPv4-mapped IPv6 (`::ffff:…`) becomes the IPv4 address. */
export function parseIp(text: string): IpAddress | undefined {
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  return bytes && formatIp(bytes);
}

export function ipFamily(address: IpAddress): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** The address in network order: 4 octets for IPv4, 16 for IPv6. */
export function ipBytes(address: IpAddress): Uint8Array {
  return (address.includes(':') ? parseIpv6(address) : parseIpv4(address)) as Uint8Array;
}

/** An address as four signed words in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
export interface IpWords {
  a: number;
  b: number;
  c: number;
  d: number;
}

export function isSameIp(one: IpWords, other: IpWords): boolean {
  return one.d === other.d && one.c === other.c && one.b === other.b && one.a === other.a;
}

export function ipWords(address: IpAddress): IpWords {
  const octets = new DataView(ipBytes(address).buffer);
  if (octets.byteLength === 4) return { a: 0, b: 0, c: 0xffff, d: octets.getInt32(0) };
  return { a: octets.getInt32(0), b: octets.getInt32(4), c: octets.getInt32(8), d: octets.getInt32(12) };
}

/**
 * Whether a datagram can have come from the address, which is that of one host: not 0.0.0.0/8, a group or the broadcast address (RFC 1122 §3.2.1.3),
 * nor :: or ff00::/8 (RFC 4291 §2.5.2, §2.7). Loopback is not refused here: the kernel accepts none from another host. On the packet path.
 */
export function isHostIp({ a, b, c, d }: IpWords): boolean {
  if (a === 0 && b === 0 && c === 0xffff) {
    const first = d >>> 24;
    return first !== 0 && (first < 224 || (first >= 240 && d !== -1));
  }
  return a >>> 24 !== 0xff && (a | b | c | d) !== 0;
}

/** 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291). */
export function isMulticastIp(address: IpAddress): boolean {
  const first = ipBytes(address)[0] as number;
  return ipFamily(address) === 4 ? first >= 224 && first <= 239 : first === 0xff;
}

/** 0.0.0.0 or ::. */
export function isUnspecifiedIp(address: IpAddress): boolean {
  return ipBytes(address).every((byte) => byte === 0);
}

/** 127.0.0.0/8 or ::1. */
export function isLoopbackIp(address: IpAddress): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** Why an address cannot be that of a host, in words for a message; undefined if `isHostIp` holds. */
export function notUnicast(address: IpAddress): string | undefined {
  if (isUnspecifiedIp(address)) return 'the unspecified address';
  if (isMulticastIp(address)) return 'a multicast address';
  if (address === '255.255.255.255') return 'the broadcast address';
  return isHostIp(ipWords(address)) ? undefined : 'of 0.0.0.0/8, which no host can have';
}

/** fe80::/10. */
export function isLinkLocalIpv6(address: IpAddress): boolean {
  const bytes = ipBytes(address);
  return bytes.length === 16 && bytes[0] === 0xfe && ((bytes[1] as number) & 0xc0) === 0x80;
}

/** 4 or 16 octets in network order to text; IPv4-mapped octets read as IPv4. */
export function formatIp(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join('.') as IpAddress;
  if (isIpv4Mapped(bytes)) return bytes.subarray(12, 16).join('.') as IpAddress;
  return formatIpv6(bytes) as IpAddress;
}

/** ::ffff:0:0/96 (RFC 4291 §2.5.5.2). */
export function isIpv4Mapped(bytes: Uint8Array): boolean {
  return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    // A leading zero is octal for inet_aton and decimal for others. What can be read in two ways is refused.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[index] = Number(part);
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] as string, true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Colon-separated 16-bit groups; the last may be a dotted IPv4 address where `atEnd`. */
function parseGroups(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (atEnd && index === parts.length - 1 && part.includes('.')) {
      const v4 = parseIpv4(part);
      if (!v4) return undefined;
      groups.push(((v4[0] as number) << 8) | (v4[1] as number), ((v4[2] as number) << 8) | (v4[3] as number));
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

/** RFC 5952 §4: lower case, no leading zeros, the longest (first) run of two or more zero groups as `::`. */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number));
  let [bestStart, bestLength] = [-1, 1];
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > bestLength) [bestStart, bestLength] = [start, length];
  }
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  if (bestStart < 0) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}

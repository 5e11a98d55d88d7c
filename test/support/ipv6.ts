/** IPv6 addresses as octets and text, naively. */

export function ip6Bytes(text: string): Buffer {
  const [head = '', tail] = text.split('::');
  const words = (part: string) => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)));
  const [front, back] = [words(head), words(tail ?? '')];
  const gap = tail === undefined ? 0 : 8 - front.length - back.length;
  const bytes = Buffer.alloc(16);
  for (const [i, word] of [...front, ...Array<number>(gap).fill(0), ...back].entries())
    bytes.writeUInt16BE(word, 2 * i);
  return bytes;
}

/** All eight words, without `::`. */
export function ip6Text(bytes: Buffer): string {
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':');
}

import { type Fdb, LOCAL_SOURCE, type SourceAddress } from '../../fdb/fdb.ts';
import { LOCAL } from '../../fdb/remotes.ts';
import { formatIp, type IpAddress, ipWords } from '../../lib/addresses.ts';

/** Converts between VTEP addresses as users write them and as the FDB stores them. */

export function sourceOf(address: IpAddress | 'local'): SourceAddress {
  if (address === 'local') return LOCAL_SOURCE;
  return ipWords(address);
}

/** The address of a remote id. */
export function addressOf({ remotes }: Fdb, remote: number): IpAddress | 'local' {
  if (remote === LOCAL) return 'local';
  const word = (index: number) => remotes.word(remote, index);
  return formatSource({ a: word(0), b: word(1), c: word(2), d: word(3) });
}

export function formatSource({ a, b, c, d }: SourceAddress): IpAddress {
  const octets = Buffer.alloc(16);
  for (const [i, word] of [a, b, c, d].entries()) octets.writeInt32BE(word, i * 4);
  return formatIp(octets);
}

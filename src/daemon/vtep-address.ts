import { type Fdb, LOCAL_SOURCE, type SourceAddress } from '../fdb/fdb.ts';
import { LOCAL } from '../fdb/remotes.ts';
import { formatIp, type IpAddress, ipWords } from '../lib/addresses.ts';

/** VTEP addresses as users write them and as the FDB keeps them. */

export function sourceOf(address: IpAddress | 'local'): SourceAddress {
  if (address === 'local') return LOCAL_SOURCE;
  return ipWords(address);
}

/** The address behind a remote id. */
export function addressOf({ remotes }: Fdb, remote: number): IpAddress | 'local' {
  if (remote === LOCAL) return 'local';
  const octets = Buffer.alloc(16);
  for (let word = 0; word < 4; word++) octets.writeInt32BE(remotes.word(remote, word), word * 4);
  return formatIp(octets);
}

/** Where `--http` listens, as it is written: `127.0.0.1:9477`, `[::1]:9477`. */
import { isMulticastIp, parseIp } from '../lib/addresses.ts';
import type { HttpAddress } from './config.ts';
import { parseWholeNumber } from './keys/scalars.ts';
import { refuse, type WrittenValue } from './keys/written-value.ts';

const REMEDY = 'write 127.0.0.1:9477 or [::1]:9477 for this host alone, [::]:9477 for every address';

/**
 * An address must be given: a server without authentication must not be open to all by default. Names are not resolved.
 * @throws VtepError ERR_VTEP_USAGE
 */
export function parseHttpAddress(written: WrittenValue): HttpAddress {
  const { object, label, text } = written;
  const [, host, port] = /^(.*):([^:]+)$/.exec(text) ?? refuse(object, `${label} is not ADDR:PORT`, REMEDY);
  if (host === '') refuse(object, `${label} has no address`, REMEDY);
  const [, inBrackets] = /^\[(.*:.*)\]$/.exec(host as string) ?? [];
  const address = inBrackets === undefined && host?.includes(':') ? undefined : parseIp(inBrackets ?? (host as string));
  if (address === undefined) refuse(object, `${host} is not an IPv4 address, or an IPv6 address in brackets`, REMEDY);
  if (isMulticastIp(address)) refuse(object, `${host} is a multicast address`, REMEDY);
  const number = parseWholeNumber({ object, label: `port ${port}`, text: port as string }, { min: 1, max: 65535 });
  return { address, port: number };
}

export function formatHttpAddress({ address, port }: HttpAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

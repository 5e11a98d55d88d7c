/** Where `--evpn` finds the API of the BGP speaker, as it is written: `127.0.0.1:50051`, `[::1]:50051`, `unix:/run/gobgp/api.sock`. */
import { notUnicast, parseIp } from '../lib/addresses.ts';
import type { SpeakerAddress } from './config.ts';
import { parseSocketPath, parseWholeNumber } from './keys/scalars.ts';
import { refuse, shown, type WrittenValue } from './keys/written-value.ts';

const REMEDY = 'write 127.0.0.1:50051, [::1]:50051 or unix:/run/gobgp/api.sock';

/** RFC 1123 §2.1; not digits and dots alone, which would be a wrong address. */
const HOST_NAME = /^(?![\d.]+$)[a-z\d]([a-z\d.-]{0,251}[a-z\d])?$/i;

/** A host name is resolved at each connection. @throws VtepError ERR_VTEP_USAGE */
export function parseSpeakerAddress(written: WrittenValue): SpeakerAddress {
  const { object, label, text } = written;
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    return { kind: 'unix', path: parseSocketPath({ object, label: shown(path), text: path }) };
  }
  const [, host = '', port = ''] = /^(.*):([^:\]]+)$/.exec(text) ?? refuse(object, `${label} is not HOST:PORT`, REMEDY);
  if (host === '') refuse(object, `${label} has no host`, REMEDY);
  const number = parseWholeNumber({ object, label: `port ${port}`, text: port }, { min: 1, max: 65535 });
  return { kind: 'tcp', host: parseHost(written, host), port: number };
}

function parseHost({ object }: WrittenValue, host: string): string {
  const [, inBrackets] = /^\[(.*:.*)\]$/.exec(host) ?? [];
  const address = inBrackets === undefined && host.includes(':') ? undefined : parseIp(inBrackets ?? host);
  if (address === undefined && HOST_NAME.test(host)) return host;
  if (address === undefined) {
    refuse(object, `${host} is not a host name, an IPv4 address, or an IPv6 address in brackets`, REMEDY);
  }
  const cause = notUnicast(address);
  if (cause !== undefined) refuse(object, `${host} is ${cause}`, REMEDY);
  return address;
}

export function formatSpeakerAddress(address: SpeakerAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

import { formatIp, formatMac, type IpAddress } from '../../lib/addresses.ts';
import type { RouteNumber, RouteTarget } from '../../lib/route-numbers.ts';
import type { EvpnRoute, PmsiTunnel } from '../route.ts';

/**
 * A slow and plain reader of BGP octets, by hexadecimal text, for tests: the opposite of `writeNlri` and `writeAttributes`. Nothing here is shared
 * with them. It throws on everything that it does not expect.
 */
export function readNaively(nlri: Uint8Array, attributes: readonly Uint8Array[]): EvpnRoute {
  const text = new Hex(nlri);
  const type = text.number(1);
  if (text.number(1) !== nlri.length - 2) throw new Error('length of the NLRI');
  const said = readAttributes(attributes);
  const rd = readNumber(text, text.number(2));
  const base = { rd, nextHop: said.nextHop, targets: said.targets, tunnels: said.tunnels };
  if (type === 2) {
    const esi = text.take(10);
    const ethernetTag = text.number(4);
    if (text.number(1) !== 48) throw new Error('length of the MAC');
    const mac = formatMac(text.number(4), text.number(2));
    const ip = text.address();
    const label = text.number(3);
    text.end();
    return { ...base, type, ethernetTag, esi, mac, ip, label, sequence: said.sequence, isSticky: said.isSticky };
  }
  if (type !== 3) throw new Error(`type ${type}`);
  const ethernetTag = text.number(4);
  const originator = text.address();
  if (originator === undefined) throw new Error('no originator');
  text.end();
  return { ...base, type, ethernetTag, originator, pmsi: said.pmsi };
}

interface Said {
  nextHop: IpAddress | undefined;
  targets: RouteTarget[];
  tunnels: number[];
  sequence: number;
  isSticky: boolean;
  pmsi: PmsiTunnel | undefined;
}

function readAttributes(attributes: readonly Uint8Array[]): Said {
  const said: Said = {
    nextHop: undefined,
    targets: [],
    tunnels: [],
    sequence: 0,
    isSticky: false,
    pmsi: undefined,
  };
  for (const octets of attributes) {
    const text = new Hex(octets);
    const flags = text.number(1);
    const type = text.number(1);
    if (text.number(flags & 0x10 ? 2 : 1) !== text.left) throw new Error('length of an attribute');
    if (type === 1) text.take(1);
    else if (type === 3) said.nextHop = formatIp(Buffer.from(text.take(text.left), 'hex'));
    else if (type === 16) while (text.left > 0) readCommunity(text.take(8), said);
    else if (type === 22) said.pmsi = readPmsi(text);
    else throw new Error(`attribute ${type}`);
    text.end();
  }
  return said;
}

function readCommunity(community: string, said: Said): void {
  const text = new Hex(Buffer.from(community, 'hex'));
  const kind = text.take(2);
  if (kind === '0002' || kind === '0102' || kind === '0202') said.targets.push(readNumber(text, Number(kind[1])));
  else if (kind === '030c') said.tunnels.push(Number.parseInt(community.slice(12), 16));
  else if (kind === '0600') [said.isSticky, said.sequence] = [text.number(2) === 0x100, text.number(4)];
  else throw new Error(`community ${community}`);
}

function readPmsi(text: Hex): PmsiTunnel {
  if (text.number(1) !== 0) throw new Error('flags of the tunnel');
  const [tunnel, label] = [text.number(1), text.number(3)];
  return { tunnel, label, endpoint: text.left > 0 ? formatIp(Buffer.from(text.take(text.left), 'hex')) : undefined };
}

function readNumber(text: Hex, type: number): RouteNumber {
  const form = (['as2', 'ipv4', 'as4'] as const)[type];
  if (!form) throw new Error(`form ${type}`);
  const admin = text.number(form === 'as2' ? 2 : 4);
  return { form, admin, value: text.number(form === 'as2' ? 4 : 2) };
}

class Hex {
  #text: string;

  constructor(octets: Uint8Array) {
    this.#text = Buffer.from(octets).toString('hex');
  }

  /** Octets left. */
  get left(): number {
    return this.#text.length / 2;
  }

  take(octets: number): string {
    if (octets > this.left) throw new Error('too short');
    const taken = this.#text.slice(0, 2 * octets);
    this.#text = this.#text.slice(2 * octets);
    return taken;
  }

  number(octets: number): number {
    return Number.parseInt(this.take(octets), 16);
  }

  /** Behind its length in bits. */
  address(): IpAddress | undefined {
    const bits = this.number(1);
    if (![0, 32, 128].includes(bits)) throw new Error('length of an address');
    return bits === 0 ? undefined : formatIp(Buffer.from(this.take(bits / 8), 'hex'));
  }

  end(): void {
    if (this.left > 0) throw new Error('octets behind the end');
  }
}

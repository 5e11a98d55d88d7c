import type { Settings } from '../config/settings.ts';
import { ENCAPSULATIONS } from '../encap/codec.ts';
import type { TraceStep } from '../forward/trace.ts';
import { type IpAddress, ipFamily } from '../lib/addresses.ts';
import type { Taps } from '../vtep/vni/taps.ts';
import type { Underlays } from '../vtep/vni/underlays.ts';
import { IPV6_MIN_MTU_BYTES } from '../wire/ip.ts';

/** The size of a traced frame: whether it fits the underlay and the path, and who is told if not. */

/** The MTU of the path to a VTEP, where it is narrower than the underlay. */
export type Paths = ReturnType<Underlays['pathMtus']>;

/** The parts that know the paths. */
export interface PathParts {
  readonly taps: Pick<Taps, 'links'>;
  readonly underlays: Pick<Underlays, 'pathMtus'>;
}

/** Asks for the MTU of paths, as they and the interfaces are now. */
export function pathsNow({ taps, underlays }: PathParts): Paths {
  return underlays.pathMtus(taps.links());
}

type InForce = Pick<Settings, 'config'>;

type Sent = Extract<TraceStep, { kind: 'send' }>;

/** The longest frame that gets to a VTEP. */
export function pathFrameBytes(
  { config }: InForce,
  paths: Paths,
  address: IpAddress,
  { encap, mayFragment }: Pick<Sent, 'encap' | 'mayFragment'>,
): number {
  const family = ipFamily(address);
  if (family === 4 && (mayFragment || config.df === 'unset')) return Infinity;
  return (paths(address) ?? Infinity) - ENCAPSULATIONS[encap].outerBytes[family];
}

/** Whether the kernel accepts a datagram that the ladder sends. It refuses too large copies of a flood. */
export function fitsPath(settings: InForce, paths: Paths, address: IpAddress, sent: Sent): boolean {
  return innerBytes(sent) <= pathFrameBytes(settings, paths, address, sent);
}

/** The verdict on the size of a datagram on its path. */
export function outerText(settings: InForce, paths: Paths, address: IpAddress, sent: Sent): string {
  const family = ipFamily(address);
  const { df } = settings.config;
  const octets = innerBytes(sent) + ENCAPSULATIONS[sent.encap].outerBytes[family];
  const mtuBytes = paths(address);
  const isClear = df === 'unset' || sent.mayFragment;
  const flag =
    family === 6 ? '' : `, DF ${isClear ? 'clear' : 'set'}${df === 'inherit' ? ' (that of the inner packet)' : ''}`;
  const packet = `outer packet: ${octets} octets${flag}`;
  if (mtuBytes === null || octets <= mtuBytes) return `${packet}, it fits`;
  const path = `larger than the path to ${address} (MTU ${mtuBytes})`;
  if (fitsPath(settings, paths, address, sent)) return `${packet}, ${path}: routers fragment it`;
  return `${packet}, ${path}: this copy is dropped (oversize), and nobody is told`;
}

function innerBytes({ encap, bytes }: Sent): number {
  return bytes - ENCAPSULATIONS[encap].headerBytes;
}

/** @param place what has the limit  @param isGroup whether the frame goes to a group */
export function tooBigTexts(
  { maxFrameBytes, headerBytes }: Extract<TraceStep, { kind: 'too-big' }>,
  place: string,
  isGroup: boolean,
): string[] {
  const mtuBytes = maxFrameBytes - headerBytes;
  const limit = `longest frame that fits ${place}: ${maxFrameBytes} octets`;
  if (isGroup) return [limit, 'nobody is told, since it goes to a group'];
  const whom = mtuBytes < IPV6_MIN_MTU_BYTES ? 'IPv4 with DF' : 'IPv4 with DF or IPv6';
  const others = mtuBytes < IPV6_MIN_MTU_BYTES ? ' (IPv6 cannot be told less than 1280)' : '';
  return [limit, `if it is ${whom}, its sender is told MTU ${mtuBytes}; else nobody is told${others}`];
}

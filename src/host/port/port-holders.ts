import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { formatIp, type IpAddress, ipFamily } from '../../lib/addresses.ts';
import { MAX_HOLDER_FDS } from '../../lib/limits.ts';
import type { Link } from '../../sys/netlink/links.ts';
import { deviceAdvice, likelyOwner } from './port-owners.ts';

/** The owners of a UDP port in this network namespace, as far as visible. */

/** A socket with the port. */
export interface PortSocket {
  readonly address: IpAddress;
  readonly uid: number;
  readonly inode: number;
}

export interface Program {
  readonly pid: number;
  readonly name: string;
}

export interface PortHolders {
  /** A device of the kernel that is up and has the port here, seen by its own settings. */
  readonly device: Link | undefined;
  /** The programs that have one of the sockets. */
  readonly programs: readonly Program[];
  readonly sockets: readonly PortSocket[];
  /** Devices that may have it: their port cannot be seen. */
  readonly suspects: readonly Link[];
  /** Every process of this PID namespace could be looked at. */
  readonly sawAll: boolean;
}

/** Kinds of devices with a UDP port that is not read, since each kind has its own protocol. */
const OPAQUE_KINDS = ['geneve', 'bareudp', 'wireguard', 'gtp', 'amt', 'ovpn'];

/** The port and address to bind. */
export interface WantedPort {
  readonly port: number;
  readonly families: readonly (4 | 6)[];
  /** The address, of the one family; undefined: every address. */
  readonly local?: IpAddress | undefined;
}

export function findHolders(links: readonly Link[], wanted: WantedPort): PortHolders {
  const { port, families } = wanted;
  const isUp = ({ up }: Link) => up;
  const device = links.filter(isUp).find((link) => holdsPort(link, port, families));
  const own = ownSockets();
  const all = ([4, 6] as const).flatMap((family) => udpSockets(family, port)).filter(({ inode }) => !own.has(inode));
  const sockets = clashing(all, wanted);
  const { programs, sawAll } = programsOf(device ? [] : sockets);
  const suspects = links.filter(isUp).filter(({ kind }) => OPAQUE_KINDS.includes(kind));
  return { device, programs, sockets, suspects, sawAll };
}

/** The sockets with the port that make the bind fail. */
export function clashing(sockets: readonly PortSocket[], { families, local }: WantedPort): PortSocket[] {
  const sure = sockets.filter(({ address }) => {
    if (!families.includes(ipFamily(address))) return false;
    return local === undefined || address === local || isWildcard(address);
  });
  // One of IPv6 on every address holds IPv4 too unless it is of IPv6 alone, which the kernel does not list: it is a candidate if there is no other.
  return sure.length > 0 || families.includes(6) ? sure : sockets.filter(({ address }) => address === '::');
}

function isWildcard(address: IpAddress): boolean {
  return address === '0.0.0.0' || address === '::';
}

/** Whether a kernel device that is up holds a port of this namespace. One that came from another namespace holds that one's. */
export function holdsPort(link: Link, port: number, families: readonly (4 | 6)[]): boolean {
  return (
    link.vxlanPort === port && !link.isFromAbroad && link.vxlanFamilies.some((family) => families.includes(family))
  );
}

/** The owner, for a message. Owners that were not seen are called possible, the most likely first. */
export function describeHolders({ device, programs, sockets, suspects, sawAll }: PortHolders, port: number): string {
  const holds = `holds UDP port ${port}`;
  if (device) return `the kernel's ${device.kind} device ${device.name} ${holds}${likelyOwner(device)}`;
  if (programs.length > 0) {
    const all = programs.map(({ name, pid }) => `${name} (pid ${pid})`);
    return all.length === 1
      ? `${all[0]} ${holds}`
      : `${all.slice(0, -1).join(', ')} and ${all.at(-1)} hold UDP port ${port}`;
  }
  const [socket] = sockets;
  const who = socket ? `a socket of user ${socket.uid} on ${socket.address}` : 'something';
  const others = ['another program, perhaps a second vtepd'];
  const devices = suspects.map(({ kind, name }) => `the kernel's ${kind} device ${name}`);
  // The kernel's own sockets are root's, and no program has them open.
  if (!socket || socket.uid === 0) devices.push(MOVED_DEVICE);
  const possible = sawAll ? [...devices, 'a program in another PID namespace'] : [...others, ...devices];
  return `${who} ${holds}, and its owner cannot be seen from here: perhaps ${possible.join(', or ')}`;
}

const MOVED_DEVICE =
  'a tunnel device of the kernel that was made in this network namespace and then moved to another (such as those of Docker overlay networks)';

/** What to do about them, for a message. */
export function adviceOn({ device, programs, sockets, sawAll }: PortHolders, port: number): string {
  const another = 'choose another --port';
  if (device) return `${deviceAdvice(device)}, or ${another}`;
  if (programs.length > 0) {
    const share = programs.every(({ name }) => name === 'vtepd')
      ? ', give each daemon its own address (--listen local --local IP)'
      : '';
    return `stop ${programs.length === 1 ? 'it' : 'them'}${share}, or ${another}`;
  }
  const isNamed = !sawAll && sockets.length > 0;
  return `${isNamed ? `\`ss -ulnp sport = :${port}\` as root names a program, ` : ''}\`${SHOW_MOVED}\` shows the devices of named namespaces; or ${another}`;
}

const SHOW_MOVED = 'ip -all netns exec ip -d link show type vxlan';

function udpSockets(family: 4 | 6, port: number): PortSocket[] {
  try {
    return readUdpSockets(readFileSync(`/proc/self/net/${family === 4 ? 'udp' : 'udp6'}`, 'utf8'), port);
  } catch {
    return [];
  }
}

/** The sockets with a port. @param text of /proc/net/udp or /proc/net/udp6 */
export function readUdpSockets(text: string, port: number): PortSocket[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const row = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ \S+ \S+ \S+ \S+\s+(\d+)\s+\d+\s+(\d+)/gm;
  return [...text.matchAll(row)].flatMap(([, address = '', of, uid, inode]) =>
    of === hex ? [{ address: littleEndianIp(address), uid: Number(uid), inode: Number(inode) }] : [],
  );
}

/** Words of 32 bits, each in the host's order. */
function littleEndianIp(hex: string): IpAddress {
  return formatIp(Buffer.from(hex, 'hex').swap32());
}

/** Sockets of this process, which do not conflict with it. */
function ownSockets(): ReadonlySet<number> {
  const folder = '/proc/self/fd';
  const names = readdirSync(folder).map((fd) => /^socket:\[(\d+)\]$/.exec(targetOf(`${folder}/${fd}`))?.[1]);
  return new Set(names.map(Number));
}

/** The processes that have one of the sockets open, this one aside. */
function programsOf(sockets: readonly PortSocket[]): { programs: Program[]; sawAll: boolean } {
  const wanted = new Set(sockets.map(({ inode }) => `socket:[${inode}]`));
  const programs: Program[] = [];
  if (wanted.size === 0) return { programs, sawAll: true };
  let sawAll = isProcVisible();
  let looked = 0;
  for (const pid of numbersIn('/proc')) {
    if (pid === process.pid) continue;
    const folder = `/proc/${pid}/fd`;
    try {
      for (const fd of readdirSync(folder)) {
        if (++looked > MAX_HOLDER_FDS) return { programs, sawAll: false };
        if (!wanted.has(targetOf(`${folder}/${fd}`))) continue;
        programs.push({ pid, name: programName(readFileSync(`/proc/${pid}/cmdline`, 'utf8')) });
        break;
      }
    } catch (error) {
      // A process that ended meanwhile has nothing.
      if ((error as NodeJS.ErrnoException).code === 'EACCES') sawAll = false;
    }
  }
  return { programs, sawAll };
}

/** The name of a program from its command line; of an interpreter, that of the script. */
export function programName(cmdline: string): string {
  const [program = '', ...words] = cmdline.split('\0');
  const name = basename(program);
  const script = /^(node|python[\d.]*|perl|ruby|bash|sh)$/.test(name) && words.find((word) => !word.startsWith('-'));
  return script ? basename(script) : name;
}

/** Whether /proc shows the processes of others (hidepid= of proc(5), ProtectProc= of systemd). */
function isProcVisible(): boolean {
  return numbersIn('/proc').includes(1);
}

function numbersIn(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function targetOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

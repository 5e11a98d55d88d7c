import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { errno, syscallBpf } from './libc.ts';
import { ERRNO } from './sys-error.ts';

/** BPF programs that rtnetlink does not list: those of tcx and of control groups. Only bpf(2) lists them (linux/bpf.h). */

const SYS_BPF: Readonly<Record<string, number>> = { x64: 321, arm64: 280 };
const BPF_PROG_QUERY = 16;
const BPF_F_QUERY_EFFECTIVE = 1;
/** The `query` part of union bpf_attr: target, type of attachment, flags; the count comes back at 24. */
const ATTRIBUTES_BYTES = 64;
const COUNT_AT = 24;

const TCX = { ingress: 46, egress: 47 } as const;
/** Those that may keep a datagram from a socket, or one of a socket from the network. */
const OF_CONTROL_GROUP = [
  { name: 'ingress', type: 0 },
  { name: 'egress', type: 1 },
  { name: 'sendmsg4', type: 14 },
  { name: 'sendmsg6', type: 15 },
  { name: 'recvmsg4', type: 19 },
  { name: 'recvmsg6', type: 20 },
] as const;

/** Where there are programs, for messages; or why that is not known. */
export type BpfPlaces = { readonly found: readonly string[] } | { readonly refusal: string };

export function tcxPrograms({ index, name }: { index: number; name: string }): BpfPlaces {
  const found: string[] = [];
  for (const [where, type] of Object.entries(TCX)) {
    const count = countPrograms(index, type, 0);
    if (typeof count === 'string') return { refusal: count };
    if (count > 0) found.push(`BPF programs of tcx on ${name} ${where}`);
  }
  return { found };
}

/** Those in force for the sockets of this process: of its control group and all its ancestors. */
export function controlGroupPrograms(): BpfPlaces {
  const fd = openControlGroup();
  if (fd === undefined) return { refusal: 'the control group of this process is not visible' };
  try {
    const found: string[] = [];
    for (const { name, type } of OF_CONTROL_GROUP) {
      const count = countPrograms(fd, type, BPF_F_QUERY_EFFECTIVE);
      if (typeof count === 'string') return { refusal: count };
      if (count > 0) found.push(name);
    }
    return { found: found.length === 0 ? [] : [`BPF programs of the control group (${found.join(', ')})`] };
  } finally {
    closeSync(fd);
  }
}

/** @returns how many, or why the kernel does not say */
function countPrograms(target: number, type: number, flags: number): number | string {
  const number = SYS_BPF[process.arch];
  if (number === undefined) return `bpf(2) is not known on ${process.arch}`;
  const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
  attributes.writeUInt32LE(target, 0);
  attributes.writeUInt32LE(type, 4);
  attributes.writeUInt32LE(flags, 8);
  if (syscallBpf(number, BPF_PROG_QUERY, attributes, attributes.length) === 0) return attributes.readUInt32LE(COUNT_AT);
  const error = errno();
  // A kernel that does not know the attach point has no program there. Nor has an interface that is gone.
  if (error === ERRNO.EINVAL || error === ERRNO.ENODEV) return 0;
  return `bpf(2) is refused: ${getSystemErrorName(-error)}`;
}

/** That of this process, where the second version of control groups is mounted. */
function openControlGroup(): number | undefined {
  try {
    const path = controlGroupPath(
      readFileSync('/proc/self/cgroup', 'utf8'),
      readFileSync('/proc/self/mountinfo', 'utf8'),
    );
    return path === undefined ? undefined : openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return undefined;
  }
}

/** @param groups /proc/self/cgroup @param mounts /proc/self/mountinfo */
export function controlGroupPath(groups: string, mounts: string): string | undefined {
  const [, path] = /^0::(\/.*)$/m.exec(groups) ?? [];
  const [, root, at] = /^\d+ \d+ \S+ (\S+) (\S+) .*- cgroup2 /m.exec(mounts) ?? [];
  if (path === undefined || root === undefined || at === undefined) return undefined;
  if (root === '/') return `${at}${path}`;
  return path === root || path.startsWith(`${root}/`) ? `${at}${path.slice(root.length)}` : undefined;
}

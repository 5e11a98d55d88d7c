/** BPF programs that drop every packet, without a compiler: two instructions, loaded and attached by bpf(2). */
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { close, memoryAddress } from '../host/libc.ts';
import { inNamespace, ipJson } from '../host/namespaces.ts';
import type { Host } from './lab.ts';

const syscall = koffi.load(null).func('long syscall(long number, long command, void *attributes, ulong bytes)') as (
  number: number,
  command: number,
  attributes: Uint8Array,
  bytes: number,
) => number;
const SYS_BPF = process.arch === 'arm64' ? 280 : 321;

const BPF_PROG_LOAD = 5;
const BPF_LINK_CREATE = 28;
const XDP_FLAGS_SKB_MODE = 2;

/** Type of the program and of its attachment, and the verdict that drops. */
const XDP = { program: 6, attachment: 37, drop: 1 } as const;
const TCX_INGRESS = { program: 3, attachment: 46, drop: 2 } as const;
const CONTROL_GROUP_INGRESS = { program: 8, attachment: 0, drop: 0 } as const;

type Kind = typeof XDP | typeof TCX_INGRESS | typeof CONTROL_GROUP_INGRESS;

/** @returns what takes it away */
export function dropByXdp(host: Host, dev: string): () => void {
  return inNamespace(host.namespace, () => attach(XDP, indexOf(host, dev), XDP_FLAGS_SKB_MODE));
}

/** @returns what takes it away */
export function dropByTcx(host: Host, dev: string): () => void {
  return inNamespace(host.namespace, () => attach(TCX_INGRESS, indexOf(host, dev), 0));
}

/** @param folder of a control group, which must hold no process that needs the network. @returns what takes it away */
export function dropByControlGroup(folder: string): () => void {
  const fd = openSync(folder, 'r');
  try {
    return attach(CONTROL_GROUP_INGRESS, fd, 0);
  } finally {
    closeSync(fd);
  }
}

function indexOf(host: Host, dev: string): number {
  const [link] = ipJson<{ ifindex: number }[]>('-n', host.namespace, 'link', 'show', 'dev', dev);
  return link?.ifindex ?? 0;
}

function attach(kind: Kind, target: number, flags: number): () => void {
  // r0 = verdict; exit
  const program = Buffer.from('b700000000000000' + '9500000000000000', 'hex');
  program.writeInt32LE(kind.drop, 4);
  const license = Buffer.from('GPL\0');
  const load = Buffer.alloc(72);
  load.writeUInt32LE(kind.program, 0);
  load.writeUInt32LE(program.length / 8, 4);
  load.writeBigUInt64LE(memoryAddress(program), 8);
  load.writeBigUInt64LE(memoryAddress(license), 16);
  // expected_attach_type
  load.writeUInt32LE(kind === XDP ? 0 : kind.attachment, 68);
  const programFd = bpf(BPF_PROG_LOAD, load);
  const create = Buffer.alloc(16);
  create.writeUInt32LE(programFd, 0);
  create.writeUInt32LE(target, 4);
  create.writeUInt32LE(kind.attachment, 8);
  create.writeUInt32LE(flags, 12);
  const linkFd = bpf(BPF_LINK_CREATE, create);
  close(programFd);
  return () => close(linkFd);
}

function bpf(command: number, attributes: Buffer): number {
  const fd = syscall(SYS_BPF, command, attributes, attributes.length);
  if (fd < 0) throw new Error(`bpf(${command}): errno ${koffi.errno()}`);
  return fd;
}

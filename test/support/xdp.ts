/** An XDP program that drops every packet of an interface, without a compiler: two instructions, loaded and attached by bpf(2). */
import koffi from 'koffi';
import type { Host } from './lab.ts';
import { close, memoryAddress } from './libc.ts';
import { inNamespace, ipJson } from './namespaces.ts';

const syscall = koffi.load(null).func('long syscall(long number, long command, void *attributes, ulong bytes)') as (
  number: number,
  command: number,
  attributes: Uint8Array,
  bytes: number,
) => number;
const SYS_BPF = process.arch === 'arm64' ? 280 : 321;

const BPF_PROG_LOAD = 5;
const BPF_LINK_CREATE = 28;
const BPF_PROG_TYPE_XDP = 6;
const BPF_XDP = 37;
const XDP_FLAGS_SKB_MODE = 2;

/** @returns what takes it away */
export function dropByXdp(host: Host, dev: string): () => void {
  // r0 = XDP_DROP; exit
  const program = Buffer.from('b700000001000000' + '9500000000000000', 'hex');
  const license = Buffer.from('GPL\0');
  const load = Buffer.alloc(48);
  load.writeUInt32LE(BPF_PROG_TYPE_XDP, 0);
  load.writeUInt32LE(program.length / 8, 4);
  load.writeBigUInt64LE(memoryAddress(program), 8);
  load.writeBigUInt64LE(memoryAddress(license), 16);
  const programFd = bpf(BPF_PROG_LOAD, load);
  const [link] = ipJson<{ ifindex: number }[]>('-n', host.namespace, 'link', 'show', 'dev', dev);
  const create = Buffer.alloc(16);
  create.writeUInt32LE(programFd, 0);
  create.writeUInt32LE(link?.ifindex ?? 0, 4);
  create.writeUInt32LE(BPF_XDP, 8);
  create.writeUInt32LE(XDP_FLAGS_SKB_MODE, 12);
  const linkFd = inNamespace(host.namespace, () => bpf(BPF_LINK_CREATE, create));
  close(programFd);
  return () => close(linkFd);
}

function bpf(command: number, attributes: Buffer): number {
  const fd = syscall(SYS_BPF, command, attributes, attributes.length);
  if (fd < 0) throw new Error(`bpf(${command}): errno ${koffi.errno()}`);
  return fd;
}

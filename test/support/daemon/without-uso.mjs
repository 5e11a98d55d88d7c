/**
 * Runs a program as on a kernel before Linux 6.2: TUNSETOFFLOAD answers EINVAL to the USO flags. `node without-uso.mjs PROGRAM ARGUMENT…`;
 * the process becomes the program by exec, and a seccomp filter stays with it.
 */
import koffi from 'koffi';

const [SYS_IOCTL, TUNSETOFFLOAD, TUN_F_USO, EINVAL] = [process.arch === 'arm64' ? 29 : 16, 0x4004_54d0, 0x60, 22];
const [PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER] = [22, 38, 2];
const [RETURN_ERRNO, RETURN_ALLOW] = [0x0005_0000, 0x7fff_0000];
/** linux/bpf_common.h. */
const [LOAD, JUMP_EQUAL, JUMP_SET, RETURN] = [0x20, 0x15, 0x45, 0x06];
/** Offsets in struct seccomp_data: the number, and the low halves of the second and third argument. */
const [NUMBER_AT, REQUEST_AT, FLAGS_AT] = [0, 24, 32];

/** code, skipped if true, skipped if false, value */
const FILTER = [
  [LOAD, 0, 0, NUMBER_AT],
  [JUMP_EQUAL, 0, 5, SYS_IOCTL],
  [LOAD, 0, 0, REQUEST_AT],
  [JUMP_EQUAL, 0, 3, TUNSETOFFLOAD],
  [LOAD, 0, 0, FLAGS_AT],
  [JUMP_SET, 0, 1, TUN_F_USO],
  [RETURN, 0, 0, RETURN_ERRNO | EINVAL],
  [RETURN, 0, 0, RETURN_ALLOW],
];

const libc = koffi.load(null);
const prctl = libc.func('int prctl(int option, size_t a, size_t b, size_t c, size_t d)');
const execv = libc.func('int execv(const char *path, const char **argv)');

const instructions = Buffer.alloc(8 * FILTER.length);
for (const [i, [code, ifTrue, ifFalse, value]] of FILTER.entries()) {
  instructions.writeUInt16LE(code, 8 * i);
  instructions.writeUInt8(ifTrue, 8 * i + 2);
  instructions.writeUInt8(ifFalse, 8 * i + 3);
  instructions.writeUInt32LE(value, 8 * i + 4);
}
/** struct sock_fprog: a count, and behind padding a pointer. */
const program = Buffer.alloc(16);
program.writeUInt16LE(FILTER.length, 0);
program.writeBigUInt64LE(BigInt(koffi.address(instructions)), 8);

if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) throw new Error('prctl: no new privileges');
if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, koffi.address(program), 0, 0) !== 0) throw new Error('prctl: seccomp');
const words = process.argv.slice(2);
execv(words[0], [...words, null]);
throw new Error(`cannot run ${words[0]}`);

import type { Status } from '../api/schemas.ts';
import type { OffloadMode } from '../config/config.ts';
import type { Logger } from '../observe/log.ts';
import { receiveMergeRefusal } from '../sys/socket/udp-socket.ts';
import { errnoName } from '../sys/sys-error.ts';

/** What `--offload` asks for. */
export function wantedOffload(mode: OffloadMode): Status['offload'] {
  const gso = mode === 'auto' || mode === 'gso';
  const gro = mode === 'auto' || mode === 'gro';
  return { tapGso: gso, udpGso: gso, udpGro: gro };
}

/** What `--offload` asks for, without what this kernel does not support. What TAPs and paths do not support is found later. */
export function possibleOffload(mode: OffloadMode, log: Logger): Status['offload'] {
  const wanted = wantedOffload(mode);
  const refusal = wanted.udpGro ? receiveMergeRefusal() : 0;
  if (refusal === 0) return wanted;
  log.warn({ event: 'offload-off', offload: 'udpGro', errno: errnoName(refusal) });
  return { ...wanted, udpGro: false };
}

import { bind, close, errno, recv, send, setsockopt, socket } from '../libc.ts';
import { check, ERRNO, SysError } from '../sys-error.ts';
import {
  message,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  readInt32,
  splitMessages,
} from './netlink-message.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_ROUTE = 0;
const SOCKADDR_NL_BYTES = 12;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

/** Larger than any message the kernel builds (NLMSG_GOODSIZE, 32 KB in dumps). */
export const NETLINK_RECEIVE_BYTES = 131_072;

/** The kernel answers before `send` returns, or during the reads of a dump. Without a limit a lost answer would block the daemon. */
const ANSWER_TIMEOUT_SECONDS = 1;

/** How long a list that changes while it is read is requested again at once. The thread does nothing else meanwhile. */
const DUMP_PATIENCE_MS = 100;

/** The result of a request: objects, and 0 or the errno. */
interface Answer {
  readonly objects: readonly NetlinkMessage[];
  /** The list changed while it was read: unchanged objects may be missing. */
  readonly isInterrupted: boolean;
  readonly refusal: number;
}

export interface QueryOptions {
  /** Ask for all objects. */
  readonly dump?: boolean;
  /** Accept an incomplete list instead of none, if it keeps changing. */
  readonly mayMiss?: boolean;
}

/**
 * Requests to the kernel, answered before the call returns. Control plane only. After an exchange that failed half-way the next one uses a new
 * socket, so that late answers to the former are never taken for its own.
 */
export class NetlinkSocket {
  readonly #buffer = Buffer.alloc(NETLINK_RECEIVE_BYTES);
  #fd: number | undefined;
  #sequence = 0;

  /** @throws SysError */
  constructor() {
    this.#fd = openRequestSocket();
  }

  /** Asks for a change. Throws SysError about `object` if the kernel refuses. */
  change(type: number, parts: readonly Uint8Array[], object: string): void {
    this.#request(type, NLM_F_REQUEST | NLM_F_ACK, parts, object);
  }

  /**
   * Asks for one object or for all; a list that changed while it was read is asked for again.
   *
   * @throws SysError about `object` if the kernel refuses; ERR_VTEP_BUSY if the list keeps changing
   */
  query(
    type: number,
    parts: readonly Uint8Array[],
    object: string,
    { dump = false, mayMiss = false }: QueryOptions = {},
  ): readonly NetlinkMessage[] {
    const endMs = performance.now() + DUMP_PATIENCE_MS;
    for (;;) {
      const { objects, isInterrupted } = this.#request(
        type,
        NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK),
        parts,
        object,
      );
      if (!isInterrupted) return objects;
      if (performance.now() < endMs) continue;
      if (mayMiss) return objects;
      throw new SysError(object, ERRNO.EAGAIN, {
        code: 'ERR_VTEP_BUSY',
        remedy: 'it keeps changing while it is read: try again later',
      });
    }
  }

  close(): void {
    if (this.#fd !== undefined) close(this.#fd);
    this.#fd = undefined;
  }

  #request(type: number, flags: number, parts: readonly Uint8Array[], object: string): Answer {
    this.#fd ??= openRequestSocket();
    let answer: Answer;
    try {
      answer = this.#exchange(this.#fd, message(type, flags, ++this.#sequence, parts), object);
    } catch (error) {
      this.close();
      throw error;
    }
    // Some dump still runs on this socket.
    if (answer.refusal === ERRNO.EBUSY) this.close();
    if (answer.refusal !== 0) throw new SysError(object, answer.refusal);
    return answer;
  }

  /** Reads to the end of the answer. @throws SysError if it does not come */
  #exchange(fd: number, request: Buffer, object: string): Answer {
    check(
      uninterrupted(() => send(fd, request, request.length, 0)),
      object,
    );
    const objects: NetlinkMessage[] = [];
    let isInterrupted = false;
    for (;;) {
      const length = check(
        uninterrupted(() => recv(fd, this.#buffer, NETLINK_RECEIVE_BYTES, 0)),
        object,
      );
      for (const answer of splitMessages(Buffer.from(this.#buffer.subarray(0, length)))) {
        if (answer.sequence !== this.#sequence) continue;
        // An interrupted dump may be marked only at its end.
        isInterrupted ||= (answer.flags & NLM_F_DUMP_INTR) !== 0;
        if (answer.type !== NLMSG_ERROR && answer.type !== NLMSG_DONE) {
          objects.push(answer);
          continue;
        }
        // Both end the answer, with 0 or a negative errno.
        const result = readInt32(answer.payload) ?? 0;
        return { objects, isInterrupted, refusal: Math.max(0, -result) };
      }
    }
  }
}

/** Signals interrupt a wait with a time limit, even those with SA_RESTART (signal(7)). */
export function uninterrupted(call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0 || errno() !== ERRNO.EINTR) return result;
  }
}

/** @param groups multicast groups to receive, as a mask @throws SysError */
export function openNetlink(groups: number): number {
  const fd = check(socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE), 'netlink socket');
  const address = Buffer.alloc(SOCKADDR_NL_BYTES);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(groups, 8);
  try {
    check(bind(fd, address, address.length), 'netlink socket');
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

function openRequestSocket(): number {
  const fd = openNetlink(0);
  const timeval = Buffer.alloc(16);
  timeval.writeUInt32LE(ANSWER_TIMEOUT_SECONDS);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeval, timeval.length) < 0) {
    const error = new SysError('netlink socket', errno());
    close(fd);
    throw error;
  }
  return fd;
}

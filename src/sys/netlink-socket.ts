import { bind, close, errno, recv, send, setsockopt, socket, whenReadable } from './libc.ts';
import {
  message,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  splitMessages,
} from './netlink-message.ts';
import { check, ERRNO, SysError } from './sys-error.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_ROUTE = 0;
const SOCKADDR_NL_BYTES = 12;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

/** Larger than any message the kernel builds (NLMSG_GOODSIZE, 32 KB in dumps). */
const RECEIVE_BYTES = 131_072;

/** No answer of the kernel takes this long; without a bound a lost one would hang the daemon. */
const ANSWER_TIMEOUT_SECONDS = 5;

/** Times that a list is asked for which changes while it is read. */
const DUMP_ATTEMPTS = 10;

/** Requests to the kernel, answered before the call returns. Control plane only. */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(RECEIVE_BYTES);
  #sequence = 0;

  constructor() {
    this.#fd = openSocket(0);
    const timeval = Buffer.alloc(16);
    timeval.writeUInt32LE(ANSWER_TIMEOUT_SECONDS);
    check(setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, timeval, timeval.length), 'netlink socket');
  }

  /** Asks for a change. Throws SysError about `object` if the kernel refuses. */
  change(type: number, parts: readonly Uint8Array[], object: string): void {
    this.#request(type, NLM_F_REQUEST | NLM_F_ACK, parts, object);
  }

  /**
   * Asks for one object or, with `dump`, for all; a list that changed while it was read is asked for again. Throws SysError about `object`
   * if the kernel refuses.
   */
  query(type: number, parts: readonly Uint8Array[], object: string, { dump = false } = {}): NetlinkMessage[] {
    for (let attempt = 1; ; attempt++) {
      const answers = this.#request(type, NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK), parts, object);
      const isInterrupted = answers.some(({ flags }) => (flags & NLM_F_DUMP_INTR) !== 0);
      if (!isInterrupted) return answers;
      if (attempt === DUMP_ATTEMPTS)
        throw new SysError(object, ERRNO.EAGAIN, { remedy: 'it keeps changing: try again later' });
    }
  }

  close(): void {
    close(this.#fd);
  }

  #request(type: number, flags: number, parts: readonly Uint8Array[], object: string): NetlinkMessage[] {
    const sequence = ++this.#sequence;
    const request = message(type, flags, sequence, parts);
    check(send(this.#fd, request, request.length, 0), object);
    const answers: NetlinkMessage[] = [];
    for (;;) {
      const length = check(recv(this.#fd, this.#buffer, RECEIVE_BYTES, 0), object);
      for (const answer of splitMessages(Buffer.from(this.#buffer.subarray(0, length)))) {
        if (answer.sequence !== sequence) continue;
        if (answer.type !== NLMSG_ERROR && answer.type !== NLMSG_DONE) {
          answers.push(answer);
          continue;
        }
        // Both end the answer, with 0 or a negative errno.
        const result = answer.payload.length >= 4 ? answer.payload.readInt32LE(0) : 0;
        if (result < 0) throw new SysError(object, -result);
        // An interrupted dump may say so in its end alone.
        return answer.type === NLMSG_DONE && (answer.flags & NLM_F_DUMP_INTR) !== 0 ? [...answers, answer] : answers;
      }
    }
  }
}

/** Multicast groups of NETLINK_ROUTE (linux/rtnetlink.h), as a mask. */
export const EVENT_GROUPS = { link: 0x1, ipv4Address: 0x10, ipv6Address: 0x100 } as const;

/**
 * Calls `onEvents` on the event loop with each batch of events, or with none where events were lost (then everything must be looked up
 * anew). Returns what ends it.
 */
export function watchNetlink(groups: number, onEvents: (messages: readonly NetlinkMessage[]) => void): () => void {
  const fd = openSocket(groups);
  const buffer = Buffer.alloc(RECEIVE_BYTES);
  const stop = whenReadable(fd, () => {
    for (;;) {
      const length = recv(fd, buffer, RECEIVE_BYTES, MSG_DONTWAIT);
      if (length > 0) onEvents([...splitMessages(Buffer.from(buffer.subarray(0, length)))]);
      else if (errno() === ERRNO.ENOBUFS) onEvents([]);
      else return;
    }
  });
  return () => {
    stop();
    close(fd);
  };
}

function openSocket(groups: number): number {
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

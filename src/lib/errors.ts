/**
 * The catalogue of all errors. An error is one line with the object, the cause and the remedy:
 * `TAP "vxlan100": EPERM, operation not permitted: run vtepd with CAP_NET_ADMIN`.
 */

interface ErrorKind {
  /** Exit code of a process that ends with it: 1 the host refuses, 2 died while running, 64 wrong input. */
  readonly exitCode: 1 | 2 | 64;
  /** HTTP status of an API request that ends with it. */
  readonly httpStatus: number;
}

export const ERROR_CATALOGUE = {
  /** A flag, key or argument is wrong. */
  ERR_VTEP_USAGE: { exitCode: 64, httpStatus: 400 },
  /** The kernel refused a system call; the message carries the errno and a remedy. */
  ERR_VTEP_SYSTEM: { exitCode: 1, httpStatus: 500 },
  /** An interface, bridge or address that the configuration names does not exist or cannot be used. */
  ERR_VTEP_INTERFACE: { exitCode: 1, httpStatus: 409 },
  /** The TAP cannot be made or adopted. */
  ERR_VTEP_TAP: { exitCode: 1, httpStatus: 409 },
  /** The UDP port, on the local address or on a group, is held by another program. */
  ERR_VTEP_PORT_IN_USE: { exitCode: 1, httpStatus: 409 },
  /** The control socket is held by a live daemon, or cannot be made. */
  ERR_VTEP_CONTROL_SOCKET: { exitCode: 1, httpStatus: 500 },
  /** The address of `--http` is held by another program, or is not on this host. */
  ERR_VTEP_HTTP: { exitCode: 1, httpStatus: 500 },
  /** The state directory is held by another daemon, or cannot be made or written. */
  ERR_VTEP_STATE_DIR: { exitCode: 1, httpStatus: 500 },
  /** An operation names a VNI, entry or remote that does not exist. */
  ERR_VTEP_NOT_FOUND: { exitCode: 1, httpStatus: 404 },
  /** An operation contradicts the present state, e.g. a static entry for another VTEP. */
  ERR_VTEP_CONFLICT: { exitCode: 1, httpStatus: 409 },
  /** A bound of lib/limits.ts is reached. */
  ERR_VTEP_LIMIT: { exitCode: 1, httpStatus: 409 },
  /** The host or a part of the daemon cannot answer at present. A later try can succeed. */
  ERR_VTEP_BUSY: { exitCode: 1, httpStatus: 503 },
  /** vtepctl cannot reach the daemon. */
  ERR_VTEP_UNREACHABLE: { exitCode: 2, httpStatus: 503 },
  /** A worker died or an invariant broke: a defect in vtepd. */
  ERR_VTEP_INTERNAL: { exitCode: 2, httpStatus: 500 },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/** The parts of an error; `remedy` says what the user can do. */
export interface Refusal {
  readonly object: string;
  readonly cause: string;
  readonly remedy?: string | undefined;
}

/** Every error that a user may see. Its message is one line. */
export class VtepError extends Error {
  readonly code: ErrorCode;
  /** The message without the remedy. */
  readonly reason: string;
  /** Messages of further errors, each one line. */
  others: readonly string[] = [];

  constructor(code: ErrorCode, { object, cause, remedy }: Refusal) {
    super(oneLine(`${object}: ${cause}${remedy ? `: ${remedy}` : ''}`));
    this.name = 'VtepError';
    this.code = code;
    this.reason = oneLine(`${object}: ${cause}`);
  }

  get exitCode(): 1 | 2 | 64 {
    return ERROR_CATALOGUE[this.code].exitCode;
  }

  get httpStatus(): number {
    return ERROR_CATALOGUE[this.code].httpStatus;
  }
}

/** Makes control and line-separating characters of foreign text (flags, names) visible: a message is one line and no terminal escape. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (char) => {
    const escaped = JSON.stringify(char).slice(1, -1);
    return escaped === char ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : escaped;
  });
}

/** A terminal in use for a live screen. Its state is restored however the screen ends (except by SIGKILL). */

export interface TerminalOutput extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export interface TerminalInput extends NodeJS.ReadableStream {
  readonly isTTY?: boolean;
  setRawMode?(isRaw: boolean): unknown;
}

export interface TerminalEnds {
  readonly stdout: TerminalOutput;
  /** Absent, or not a terminal: there are no keys. */
  readonly stdin?: TerminalInput | undefined;
}

export interface TerminalEvents {
  /** One character; escape sequences, such as of arrows, are none. */
  key(letter: string): void;
  resize(): void;
  /** The terminal is gone. */
  gone(): void;
}

/** xterm's control sequences: alternate screen, cursor hidden, long lines cut instead of wrapped. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** The size of a terminal that does not report one. */
const USUAL_SIZE = { columns: 80, rows: 24 };

export class TerminalScreen {
  readonly #stdout: TerminalOutput;
  readonly #keys: TerminalInput | undefined;
  readonly #events: TerminalEvents;
  #isOpen = false;

  constructor({ stdout, stdin }: TerminalEnds, events: TerminalEvents) {
    this.#stdout = stdout;
    this.#keys = stdin?.isTTY ? stdin : undefined;
    this.#events = events;
  }

  get width(): number {
    return this.#stdout.columns || USUAL_SIZE.columns;
  }

  get height(): number {
    return this.#stdout.rows || USUAL_SIZE.rows;
  }

  open(): void {
    this.#isOpen = true;
    process.once('exit', this.close);
    process.once('SIGHUP', this.#events.gone);
    this.#stdout.on('resize', this.#events.resize);
    this.#stdout.on('error', this.#events.gone);
    this.#keys?.setRawMode?.(true);
    this.#keys?.on('data', this.#read).on('end', this.#events.gone).on('error', this.#events.gone).resume();
    this.#stdout.write(ENTER);
  }

  /** @param lines at most `height` of them */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return;
    // Cleared first, since after a full line the cursor is on its last character.
    const rows = lines.map((line, row) => (row === lines.length - 1 ? CLEAR_BELOW : CLEAR_LINE) + line);
    this.#stdout.write(HOME + rows.join('\r\n'));
  }

  /** Does nothing the second time. */
  readonly close = (): void => {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#stdout.write(LEAVE);
    this.#keys?.setRawMode?.(false);
    // A reader would keep the process alive. Errors of a terminal that is gone are handled until the end.
    this.#keys?.off('data', this.#read).pause();
    this.#stdout.off('resize', this.#events.resize);
    process.off('SIGHUP', this.#events.gone).off('exit', this.close);
  };

  readonly #read = (chunk: Buffer | string): void => {
    const text = chunk.toString();
    if (!text.startsWith('\x1b')) for (const letter of text) this.#events.key(letter);
  };
}

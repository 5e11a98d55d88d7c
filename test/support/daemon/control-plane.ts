/** A control plane inside a running daemon, as far as a test speaks to it. */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Batch, Refused } from '../../../src/control/control-plane.ts';
import type { Host } from '../lab/lab.ts';
import { type SegmentOptions, startVtepdVtep, type VtepdVtep } from './vtep-host.ts';

/** With KILL_WORKER in the environment a worker can be told to die. */
const KILLABLE = fileURLToPath(new URL('killable-worker.mjs', import.meta.url));
const MODULE = fileURLToPath(new URL('attached-plane.mjs', import.meta.url));

/** What the control plane was told, as it holds now. */
export interface Heard {
  /** Own addresses of each VNI. */
  readonly segments: ReadonlyMap<number, readonly string[]>;
  /** Origin of each MAC behind the TAP, by VNI. */
  readonly here: ReadonlyMap<number, ReadonlyMap<string, string>>;
  /** MAC of each address behind the TAP, by VNI. */
  readonly neighbours: ReadonlyMap<number, ReadonlyMap<string, string>>;
}

/** A batch whose addresses are plain text. */
export interface SaidBatch {
  readonly floods?: { readonly added?: readonly string[]; readonly removed?: readonly string[] };
  readonly macs?: {
    readonly placed?: readonly { readonly mac: string; readonly vtep: string; readonly isSticky?: boolean }[];
    readonly withdrawn?: readonly string[];
  };
  readonly neighbours?: {
    readonly placed?: readonly { readonly ip: string; readonly mac: string }[];
    readonly withdrawn?: readonly string[];
  };
}

export class AttachedPlane {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(path: string) {
    this.#socket = connect(path);
    this.#lines = createInterface({ input: this.#socket })[Symbol.asyncIterator]();
  }

  say(vni: number, batch: SaidBatch): Promise<Refused> {
    return this.#ask({ say: [vni, batch as Batch] });
  }

  withdrawAll(): Promise<null> {
    return this.#ask({ withdraw: true });
  }

  async heard(): Promise<Heard> {
    const { segments, here, neighbours } = await this.#ask<{
      segments: [number, string[]][];
      here: [number, [string, string][]][];
      neighbours: [number, [string, string][]][];
    }>({ heard: true });
    const byVni = (rows: [number, [string, string][]][]) => new Map(rows.map(([vni, of]) => [vni, new Map(of)]));
    return { segments: new Map(segments), here: byVni(here), neighbours: byVni(neighbours) };
  }

  close(): void {
    this.#socket.destroy();
  }

  async #ask<Answer>(question: object): Promise<Answer> {
    this.#socket.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the daemon closed the control plane’s socket');
    return JSON.parse(value) as Answer;
  }
}

let planes = 0;

/** Starts a daemon that a control plane is attached to. */
export async function startControlled(
  host: Host,
  segments: readonly SegmentOptions[],
  { flags = [], env = {} }: { flags?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
): Promise<{ readonly vtep: VtepdVtep; readonly plane: AttachedPlane }> {
  planes += 1;
  const path = join(host.lab.folder, `control-plane${planes}.sock`);
  const modules = [MODULE, ...(env.KILL_WORKER === undefined ? [] : [KILLABLE])];
  const options = modules.map((module) => `--import=${module}`).join(' ');
  const vtep = await startVtepdVtep(host, {
    segments,
    flags,
    env: { ...env, NODE_OPTIONS: options, CONTROL_PLANE: path },
  });
  const plane = new AttachedPlane(path);
  host.lab.scope.defer(async () => plane.close());
  return { vtep, plane };
}

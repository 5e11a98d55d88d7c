/** One thread of another process held still, as if it hung, while the others run: by ptrace(2), which stops threads one by one. */
import { readdirSync, readFileSync } from 'node:fs';
import koffi from 'koffi';
import { waitFor } from '../wait.ts';
import { SystemCallError } from './libc.ts';

const library = koffi.load(null);
type Ptrace = (request: number, thread: number, address: null, data: null) => number;
// Variadic in C; declared plain, which the Linux ABIs of x86-64 and arm64 allow.
const ptrace = library.func('long ptrace(long request, int thread, void *address, void *data)') as unknown as Ptrace;

const waitpid = library.func('int waitpid(int pid, void *status, int options)') as unknown as (
  pid: number,
  status: Buffer,
  options: number,
) => number;

/** Threads too, and without waiting. */
const WALL_NOHANG = 0x4000_0001;

const PTRACE_DETACH = 17;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;

/** A worker's wait, as epoll_wait or epoll_pwait is called with it. */
const WORKER_WAIT_MS = 250;

export class StoppedThread {
  readonly #thread: number;

  private constructor(thread: number) {
    this.#thread = thread;
  }

  /** Holds the data-plane thread of a daemon that has one: of its threads, the one that waits as workers do. */
  static async worker(pid: number): Promise<StoppedThread> {
    const [thread = 0] = await waitFor(
      'a worker that waits',
      () => waitingWorkers(pid),
      ({ length }) => length === 1,
    );
    call('PTRACE_SEIZE', PTRACE_SEIZE, thread);
    const stopped = new StoppedThread(thread);
    call('PTRACE_INTERRUPT', PTRACE_INTERRUPT, thread);
    await waitFor('the thread stops', () => readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'), isStopped);
    return stopped;
  }

  /** Whether it ended. Its process is not over until whoever traced a thread of it has taken note. */
  reap(): boolean {
    const status = Buffer.alloc(4);
    const isStop = () => (status.readInt32LE(0) & 0x7f) === 0x7f;
    return waitpid(this.#thread, status, WALL_NOHANG) === this.#thread && !isStop();
  }

  /** Lets it go on. */
  close(): void {
    call('PTRACE_DETACH', PTRACE_DETACH, this.#thread);
  }
}

function call(name: string, request: number, thread: number): void {
  if (ptrace(request, thread, null, null) < 0) throw new SystemCallError(name, koffi.errno());
}

/** /proc/PID/task/TID/syscall: the number of the call, then its arguments; the timeout is the fourth. */
function waitingWorkers(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`)
    .filter((thread) => {
      const words = readFileSync(`/proc/${pid}/task/${thread}/syscall`, 'utf8').split(' ');
      return Number(words[4]) === WORKER_WAIT_MS;
    })
    .map(Number);
}

function isStopped(stat: string): boolean {
  return /\) t /.test(stat);
}

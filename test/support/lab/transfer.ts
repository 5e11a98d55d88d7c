/** Bulk TCP between two namespaces, with a SHA-256 at both ends. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './lab.ts';

const PEER = fileURLToPath(new URL('transfer-peer.mjs', import.meta.url));

export interface TransferOptions {
  readonly from: Namespace;
  readonly to: Namespace;
  /** Overlay address of the receiving end. */
  readonly address: string;
  /** Default 100 MB. */
  readonly bytes?: number;
  /** Default 60 s. */
  readonly timeoutMs?: number;
}

export interface TransferEnd {
  readonly bytes: number;
  readonly sha256: string;
  readonly seconds: number;
}

export interface TransferResult {
  readonly sent: TransferEnd;
  readonly received: TransferEnd;
  readonly gigabitsPerSecond: number;
}

export async function transfer(options: TransferOptions): Promise<TransferResult> {
  const { from, to, address, bytes = 100_000_000, timeoutMs = 60_000 } = options;
  const receiver = start(to, ['receive', address]);
  const peers = [receiver];
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    for (const peer of peers) peer.child.kill('SIGKILL');
  }, timeoutMs);
  try {
    const { port } = await receiver.next<{ port: number }>();
    const sender = start(from, ['send', address, `${port}`, `${bytes}`, `${from.namespace} ${port}`]);
    peers.push(sender);
    const [sent, received] = await Promise.all([sender.next<TransferEnd>(), receiver.next<TransferEnd>()]);
    return { sent, received, gigabitsPerSecond: (bytes * 8) / received.seconds / 1e9 };
  } catch (error) {
    if (timedOut) throw new Error(`${bytes} bytes of TCP to ${address} did not arrive within ${timeoutMs} ms`);
    throw error;
  } finally {
    clearTimeout(timer);
    for (const peer of peers) peer.child.kill('SIGKILL');
  }
}

interface Peer {
  readonly child: ChildProcess;
  /** The next line it prints; throws with its standard error if it ends before. */
  next<T>(): Promise<T>;
}

function start(namespace: Namespace, args: readonly string[]): Peer {
  const child = namespace.spawn(process.execPath, [PEER, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  if (!child.stdout) throw new Error('a piped child has a standard output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async next<T>() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`transfer-peer ${args.join(' ')} ended early: ${stderr}`);
      return JSON.parse(value as string) as T;
    },
  };
}

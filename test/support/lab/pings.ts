/** Pings at a steady pace, and which of them were answered. */
import type { Namespace } from './lab.ts';

export interface Pings {
  /** Numbers of those that were answered, from 0, in order. */
  readonly answered: readonly number[];
  /** When the first of those was sent; Infinity: none was. */
  readonly firstMs: number;
}

/** Resolves after the last answer, or half a second after the last ping. */
export async function pings(
  from: Namespace,
  address: string,
  { count, everyMs }: { count: number; everyMs: number },
): Promise<Pings> {
  const args = ['-n', '-c', `${count}`, '-i', `${everyMs / 1000}`, '-W', '0.5', address];
  const child = from.spawn('ping', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await new Promise<void>((resolve, reject) => {
    child.once('close', () => resolve());
    child.once('error', reject);
  });
  const numbers = [...output.matchAll(/bytes from .* icmp_seq=(\d+)/g)].map(([, number]) => Number(number) - 1);
  const answered = [...new Set(numbers)].sort((a, b) => a - b);
  return { answered, firstMs: (answered[0] ?? Number.POSITIVE_INFINITY) * everyMs };
}

import { readFileSync } from 'node:fs';
import type { OtherRoute, Path } from '../route.ts';
import type { Dialect, Peer } from '../speaker.ts';
import { Message } from './message.ts';
import { readPath } from './path-message.ts';
import { readGlobal, readPeer } from './peer-messages.ts';

/** Messages of a gobgpd, in base64, in the order of arrival. `test/interop/gobgp-golden.test.ts` records them. */
export interface GoldenMessages {
  readonly dialect: Dialect;
  readonly getBgp: readonly string[];
  readonly listPeer: readonly string[];
  readonly listPath: readonly string[];
  readonly watchEvent: readonly string[];
}

export const GOLDEN_VERSIONS = ['3.10', '3.36', '4.8'] as const;

export function goldenFile(version: string): URL {
  return new URL(`golden/gobgp-${version}.json`, import.meta.url);
}

export function readGolden(version: string): GoldenMessages {
  return JSON.parse(readFileSync(goldenFile(version), 'utf8'));
}

/** What the messages say. Lists are sorted, since their order is of no account. */
export interface GoldenMeaning {
  readonly global: { asn: number; routerId: string } | undefined;
  readonly peers: readonly Peer[];
  readonly listed: readonly (Path | OtherRoute)[];
  readonly changes: readonly (Path | OtherRoute)[];
}

export function meaningOf({ dialect, getBgp, listPeer, listPath, watchEvent }: GoldenMessages): GoldenMeaning {
  const octets = (texts: readonly string[]) => texts.map((text) => Buffer.from(text, 'base64'));
  const paths = (messages: readonly Uint8Array[]) => messages.flatMap((path) => readPath(dialect, path) ?? []);
  const listed = octets(listPath).flatMap((message) => paths(new Message(message).message(1)?.all(2) ?? []));
  const changes = octets(watchEvent).flatMap((message) => paths(new Message(message).message(3)?.all(2) ?? []));
  return {
    global: readGlobal(octets(getBgp)[0] as Uint8Array),
    peers: octets(listPeer).map(readPeer),
    listed: listed.map(plain).sort(byText),
    changes: changes.map(plain).sort(byText),
  };
}

function plain(path: NonNullable<ReturnType<typeof readPath>>): Path | OtherRoute {
  if (path.other) return path.other;
  return { route: path.route, isLocal: path.isLocal, isWithdrawn: path.isWithdrawn };
}

function byText(one: unknown, two: unknown): number {
  return JSON.stringify(one) < JSON.stringify(two) ? -1 : 1;
}

import { setImmediate } from 'node:timers/promises';
import type { SpeakerAddress } from '../config/config.ts';
import type { EvpnRouteRow, EvpnSource } from '../evpn/evpn-status.ts';
import { type IpAddress, isLoopbackIp, parseIp } from '../lib/addresses.ts';
import type { EvpnFacts } from './checks/evpn-checks.ts';
import { readListeners, readProcFile } from './proc-files.ts';
import { outputOf } from './program-output.ts';

/** Facts on BGP EVPN for the checks. */

/** Rows read between two turns of the event loop. */
const SLICE_ROWS = 1_000;

export async function gatherEvpn(evpn: EvpnSource, address: SpeakerAddress): Promise<EvpnFacts> {
  const [exposed, unimported, version] = await Promise.all([
    exposedAddresses(address),
    unimportedRoutes(evpn.rows()),
    installedVersion(address),
  ]);
  return { status: evpn.status(), exposed, unimported, version };
}

/** The API does not tell the version. The program does, if the speaker is on this host. */
async function installedVersion(address: SpeakerAddress): Promise<EvpnFacts['version']> {
  const ip = address.kind === 'tcp' ? parseIp(address.host) : undefined;
  if (ip !== undefined && !isLoopbackIp(ip)) return undefined;
  const output = await outputOf('gobgpd', ['--version']);
  const [, major, minor] = ('text' in output && /version (\d+)\.(\d+)/.exec(output.text)) || [];
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}

/** The addresses by which other hosts reach the API. A host name counts as one of this host. */
async function exposedAddresses(address: SpeakerAddress): Promise<readonly IpAddress[]> {
  if (address.kind === 'unix') return [];
  const own = parseIp(address.host);
  if (own !== undefined && !isLoopbackIp(own)) return [own];
  const texts = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(readProcFile));
  const listening = texts.flatMap((text) => readListeners(text ?? '', address.port));
  return [...new Set(listening.filter((each) => !isLoopbackIp(each)))];
}

async function unimportedRoutes(rows: Iterable<EvpnRouteRow>): Promise<EvpnFacts['unimported']> {
  let example: EvpnRouteRow | undefined;
  let count = 0;
  let read = 0;
  for (const row of rows) {
    if (++read % SLICE_ROWS === 0) await setImmediate();
    if (row.unused !== 'no-target') continue;
    example ??= row;
    count += 1;
  }
  return { count, example };
}

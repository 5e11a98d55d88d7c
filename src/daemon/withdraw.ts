import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { Config } from '../config/config.ts';
import { formatSpeakerAddress } from '../config/speaker-address.ts';
import { connectGobgp } from '../evpn/gobgp/connect-gobgp.ts';
import { Announcer } from '../evpn/plane/announcer.ts';
import { rdFileOf } from '../evpn/plane/rd-file.ts';
import { OwnRoutes } from '../evpn/routes/own-routes.ts';
import { SpeakerLost } from '../evpn/speaker.ts';
import { StateDir } from '../host/state-dir.ts';
import { VtepError } from '../lib/errors.ts';

/** How long the speaker may take. The unit allows its stop ten seconds. */
const PATIENCE_MS = 5_000;
const LOOK_MS = 5;

/** Something is left, or it is not known. */
const FAILED = 1;

/**
 * `vtepd --withdraw`: withdraws the EVPN routes that a killed vtepd left in the BGP speaker, so that no other host sends to it. Routes of other
 * programs stay.
 *
 * @returns the exit code: 0 nothing is left, or there is no `--evpn`; 1 the speaker or the state directory cannot be used
 */
export async function withdrawRoutes(config: Config, complain: (message: string) => void): Promise<number> {
  const { evpn: address, vnis, stateDir } = config;
  if (!address) return 0;
  try {
    // A running vtepd has it.
    const state = StateDir.take(stateDir);
    try {
      const log = pino({ level: 'silent' });
      const own = new OwnRoutes({ held() {}, alert() {}, holderChanged() {} }, rdFileOf(state.path, log).stored);
      own.withdrawAll();
      // For the distinguishers of the configuration.
      for (const config of vnis) own.segmentUpdated({ vni: config.vni, config, local: [] });
      const speaker = await connectGobgp(address);
      own.speakerKnown(speaker);
      const paths = (found: readonly Parameters<OwnRoutes['found']>[0][]) => {
        for (const path of found) own.found(path, 0);
      };
      await speaker.list({ paths, others: () => {} });
      const left = own.pending;
      new Announcer(own, log).use(speaker);
      for (const end = performance.now() + PATIENCE_MS; !own.isSettled && performance.now() < end; )
        await sleep(LOOK_MS);
      const isDone = own.isSettled && own.refusedRoutes === 0;
      speaker.close();
      if (isDone) return reportWithdrawn(left);
      complain(
        `--evpn ${formatSpeakerAddress(address)}: ${own.pending + own.refusedRoutes} routes could not be withdrawn`,
      );
    } finally {
      state.release();
    }
  } catch (error) {
    if (error instanceof VtepError) complain(error.message);
    else if (error instanceof SpeakerLost) complain(`--evpn ${formatSpeakerAddress(address)}: ${error.message}`);
    else throw error;
  }
  return FAILED;
}

function reportWithdrawn(routes: number): number {
  if (routes > 0) process.stdout.write(`vtepd: withdrew ${routes} EVPN routes that a former run had left\n`);
  return 0;
}

/** What tests of the doctor have in common: its findings, and whether VXLAN gets into a host at all. */

import type { Host } from '../lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../traffic/frames.ts';
import { isProbe, settle } from '../traffic/probes.ts';

export interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'warning' | 'failed' | 'unknown';
  readonly object: string;
  readonly message: string;
  readonly remedy: string | null;
}

let count = 0;

/** Whether VXLAN of VNI 100 from one host gets to the TAP of another, by unicast. */
export async function vxlanGetsIn(from: Host, to: Host): Promise<boolean> {
  const tap = to.packetSocket('vxlan100');
  const text = `in ${++count}`;
  const inner = probe({ dst: BROADCAST, src: '02:00:00:00:02:01', text });
  from.udpSocket({ address: from.address }).send(vxlan({ vni: 100, inner }), { to: to.address });
  await settle();
  await settle();
  return tap.select(isProbe(text)).length > 0;
}

/** Both ladders with suppression: what a station says, and what a question leads to. */
import { NEIGHBOUR_FRESH_SECONDS } from '../lib/limits.ts';
import type { Segment } from '../segment/segment.ts';
import {
  type ArpParts,
  HERE,
  HERE_IP,
  HERE_IP6,
  type NdParts,
  naiveAdvertisement,
  naiveArp,
  naiveNd,
  REPLY,
  THERE,
  THERE_IP,
  THERE_IP6,
} from '../wire/answers/naive-neighbours.ts';
import {
  datagram,
  destinationsOf,
  GROUP,
  NOW,
  newRig as newAnyRig,
  PEER,
  SEGMENT as PLAIN_SEGMENT,
  type Rig,
} from './ladder-rig.ts';

export const SEGMENT: Segment = { ...PLAIN_SEGMENT, suppress: true };
export const ANOTHER = '02 00 00 00 00 03';
export const FRESH = NEIGHBOUR_FRESH_SECONDS * 10;

export const newRig = (segment: Segment = SEGMENT) => newAnyRig([segment]);

export const octets = (frame: readonly number[]) => Uint8Array.from(frame);
export const suppressed = { [`${SEGMENT.index} tx suppressed`]: 1 };

/** THERE says who it is: by a gratuitous ARP request from a VTEP. */
export const announce = (rig: Rig, parts: ArpParts = {}, source = PEER, now = NOW) =>
  rig.receive(datagram(octets(naiveArp({ src: THERE, senderIp: THERE_IP, targetIp: THERE_IP, ...parts }))), {
    source,
    now,
  });

export const advertise = (rig: Rig, parts: NdParts = {}, source = PEER, now = NOW) =>
  rig.receive(datagram(octets(naiveAdvertisement(parts))), { source, now });

/** Sends a question into the TAP: what comes back there, and whether the question was flooded. */
export function ask(rig: Rig, question: readonly number[], now = NOW) {
  rig.taps.delivered.length = 0;
  rig.underlay.sent.length = 0;
  rig.send(octets(question), { now });
  const answers = rig.taps.delivered.map(({ frame }) => [...frame]);
  return { answers, sent: destinationsOf(rig) };
}

export const ARP_ANSWER = naiveArp({
  dst: HERE,
  src: THERE,
  operation: REPLY,
  senderIp: THERE_IP,
  targetMac: HERE,
  targetIp: HERE_IP,
});

export const ndAnswer = (flags: number) =>
  naiveNd({ dst: HERE, src: THERE, type: 136, sender: THERE_IP6, receiver: HERE_IP6, flags });

export const ANSWERED = { answers: [ARP_ANSWER], sent: [] };
export const FLOODED = { answers: [], sent: [GROUP] };

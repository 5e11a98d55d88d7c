/** Questions tests ask of captured frames that carry probes. */

import { sleep } from '../wait.ts';
import { type Probe, probe, readProbe, readVxlanPacket, type VxlanPacket } from './frames.ts';
import type { CapturedFrame, PacketSocket } from './packet-socket.ts';

export function isProbe(text: string): (frame: CapturedFrame) => boolean {
  return ({ bytes }) => readProbe(bytes)?.text === text;
}

/** Texts of the probes among frames, in order of arrival. */
export function probeTexts(frames: readonly CapturedFrame[]): string[] {
  return frames.flatMap(({ bytes }) => readProbe(bytes)?.text ?? []);
}

/** The VXLAN packets among underlay frames whose inner frame is a probe with a text that begins so. */
export function packetsWithProbe(frames: readonly CapturedFrame[], textStart: string): VxlanPacket[] {
  return frames.flatMap(({ bytes }) => {
    const packet = readVxlanPacket(bytes);
    return packet && readProbe(packet.vxlan.inner)?.text.startsWith(textStart) ? packet : [];
  });
}

/** Sends one probe into an overlay interface, as a machine behind it would. */
export function sendProbe(socket: PacketSocket, message: Probe): void {
  socket.send(probe(message));
}

/** Waits until every socket has received the probe, and a moment more, in which a second copy would show. */
export async function arrivesAt(text: string, ...sockets: PacketSocket[]): Promise<void> {
  for (const socket of sockets) await socket.waitForFrame(`probe "${text}"`, isProbe(text));
  await settle();
}

/** Long enough for a frame that should not come: many times what one takes in this lab. */
export function settle(): Promise<void> {
  return sleep(60);
}

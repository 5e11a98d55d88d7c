/** The values of `--offload` that the tests of offloads are run with. */

export const OFFLOAD_MODES = ['auto', 'off', 'gso', 'gro'] as const satisfies OffloadMode[];

/** Each mode on a wire that carries super-frames, and on one that carries nothing above its MTU. */
export const OFFLOAD_LABS = OFFLOAD_MODES.flatMap((offload) => [
  { offload, wire: 'offloading' } as const,
  { offload, wire: 'mtu-true' } as const,
]);

export type OffloadMode = 'auto' | 'off' | 'gso' | 'gro';

/** For `flags` of `startVtep`. `auto` is the default, and left to be that. */
export function offloadFlags(mode: OffloadMode): string[] {
  return mode === 'auto' ? [] : ['--offload', mode];
}

/** Whether super-frames of local applications are read from the TAP. */
export function cutsSuperFrames(mode: OffloadMode): boolean {
  return mode === 'auto' || mode === 'gso';
}

/** Whether received frames are merged to super-frames for the TAP. */
export function mergesFrames(mode: OffloadMode): boolean {
  return mode === 'auto' || mode === 'gro';
}

/** `VTEPD_TEST_TRANSFERS=full`, as `npm run test:system` sets it. */
const FULL_SIZE = process.env.VTEPD_TEST_TRANSFERS === 'full';

/** The full size where it is the default that is tested; the other modes need less to show a fault. */
export function sizedFor(mode: OffloadMode, bytes: number): number {
  return mode === 'auto' ? bytes : bytes / 10;
}

/** Bytes of a transfer that only its length makes slow: all of them are moved where time does not matter, a tenth elsewhere. */
export function lengthyTransfer(mode: OffloadMode, bytes: number): number {
  return sizedFor(mode, FULL_SIZE ? bytes : bytes / 10);
}

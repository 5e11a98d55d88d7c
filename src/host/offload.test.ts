import { expect, it } from 'vitest';
import type { OffloadMode } from '../config/config.ts';
import { wantedOffload } from './offload.ts';

it.each<[mode: OffloadMode, tapGso: boolean, udpGso: boolean, udpGro: boolean]>([
  ['auto', true, true, true],
  ['gso', true, true, false],
  ['gro', false, false, true],
  ['off', false, false, false],
])('--offload %s', (mode, tapGso, udpGso, udpGro) => {
  expect(wantedOffload(mode)).toEqual({ tapGso, udpGso, udpGro });
});

import { expect, it } from 'vitest';
import { OffloadSwitch } from './offload-switch.ts';

it('goes off once, for good, and says so once with the errno that came first', () => {
  const told: number[] = [];
  const offload = new OffloadSwitch(true, (error) => told.push(error));
  expect(offload.isOn).toBe(true);
  for (const error of [22, 5]) offload.switchOff(error);
  expect([offload.isOn, told]).toEqual([false, [22]]);
});

it('that was never on says nothing', () => {
  const told: number[] = [];
  const offload = new OffloadSwitch(false, (error) => told.push(error));
  offload.switchOff(22);
  expect([offload.isOn, told]).toEqual([false, []]);
});

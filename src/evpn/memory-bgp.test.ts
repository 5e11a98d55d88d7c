import { describe } from 'vitest';
import type { IpAddress } from '../lib/addresses.ts';
import { MemoryBgp } from './memory-bgp.ts';
import { describeSpeaker } from './speaker-contract-rig.ts';

describe('BGP in memory', () => {
  describeSpeaker(async () => {
    const bgp = new MemoryBgp();
    const [near, far] = ['198.18.0.1', '198.18.0.2'].map((routerId) => bgp.host(routerId as IpAddress));
    if (!near || !far) throw new Error('two hosts');
    const address = { kind: 'unix', path: 'none' } as const;
    return { near: await near.connect(address), far: await far.connect(address), endFar: async () => far.kill() };
  });
});

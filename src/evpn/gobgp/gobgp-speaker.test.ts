import { afterAll, describe } from 'vitest';
import { describeSpeaker } from '../speaker-contract-rig.ts';
import { connectGobgp } from './connect-gobgp.ts';
import { FakeGobgp } from './fake-gobgp-rig.ts';

describe.each(['v3', 'v4'] as const)('a fake of GoBGP %s', (dialect) => {
  const fakes: FakeGobgp[] = [];
  afterAll(() => Promise.all(fakes.map((fake) => fake.close())));

  describeSpeaker(async () => {
    const near = await FakeGobgp.start({ dialect });
    const far = await FakeGobgp.start({ dialect, routerId: '198.18.0.2' });
    fakes.push(near, far);
    near.peerWith(far);
    return {
      near: await connectGobgp(near.address),
      far: await connectGobgp(far.address),
      endFar: async () => {
        near.endPeer(far);
        await far.close();
      },
    };
  });
});

/**
 * The suite of a BGP speaker on gobgpd. Debian 12's version always runs, later ones where this machine has them.
 *
 *     test ── gRPC ── gobgpd ──┐                    ┌── gobgpd ── gRPC ── test
 *                     host 1   └──── iBGP, EVPN ────┘   host 2
 */
import { connectGobgp } from '../../src/evpn/gobgp/connect-gobgp.ts';
import { describeSpeaker } from '../../src/evpn/speaker-contract-rig.ts';
import { findGobgpd, Gobgpd, type GobgpdVersion } from '../support/lab/gobgpd.ts';
import { describeSystem, useLab } from '../support/lab/lab.ts';

const VERSIONS = (['3.10', '3.36', '4.8'] as const).filter((version) => findGobgpd(version) !== undefined);

for (const version of VERSIONS) {
  describeSystem(`gobgpd ${version}`, () => {
    const lab = useLab({ hosts: 2 });

    const start = (number: 1 | 2) => {
      const [host, peer] = number === 1 ? [lab.host(1), lab.host(2)] : [lab.host(2), lab.host(1)];
      const neighbours = [{ address: peer.address, asn: 65_000, hasGracefulRestart: hasEndOfRib(version) }];
      return Gobgpd.start(host, { version, asn: 65_000, routerId: host.address, neighbours });
    };

    describeSpeaker(async () => {
      const [near, far] = await Promise.all([start(1), start(2)]);
      return {
        near: await connectGobgp({ kind: 'unix', path: near.socket }),
        far: await connectGobgp({ kind: 'unix', path: far.socket }),
        endFar: () => far.stop('SIGTERM'),
      };
    });
  });
}

/** gobgpd sends End-of-RIB only to a peer with graceful restart, which is not fit for use before 3.11. */
function hasEndOfRib(version: GobgpdVersion): boolean {
  return version !== '3.10';
}

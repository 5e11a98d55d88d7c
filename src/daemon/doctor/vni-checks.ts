import type { Finding } from '../../control/schemas.ts';
import type { IpAddress } from '../../lib/addresses.ts';
import { failed, faultsOr, ok, warning } from './finding.ts';

export interface VniFacts {
  readonly vni: number;
  readonly tap: string;
  readonly isTapGone: boolean;
  readonly isTapUp: boolean;
  /** Bridge that was asked for. */
  readonly bridge: string | undefined;
  /** Bridge that the TAP is a port of. */
  readonly actualBridge: string | undefined;
  readonly isBridgeUp: boolean;
  /** As `vtepctl vni add` takes it; undefined: its TAP is the trunk, which other VNIs have too. */
  readonly entry: string | undefined;
  readonly group: IpAddress | undefined;
  /** Remotes of its flood list that are heard in its group. */
  readonly remotesInGroup: readonly IpAddress[];
}

/** @param vtepctl how to call it, with its `--socket` */
export function checkVnis(vnis: readonly VniFacts[], vtepctl: string): Finding[] {
  const faults = vnis.flatMap(({ vni, tap, isTapGone, isTapUp, bridge, actualBridge, isBridgeUp, entry }) => {
    const object = `VNI ${vni}`;
    if (isTapGone) {
      const anew = entry && `${vtepctl} vni del ${vni} && ${vtepctl} vni add ${quoted(entry)}`;
      return failed('vni', object, `its TAP ${tap} was deleted`, anew ?? 'systemctl restart vtepd');
    }
    if (!isTapUp) return failed('vni', object, `its TAP ${tap} is down`, `ip link set ${tap} up`);
    if (bridge !== undefined && bridge !== actualBridge)
      return failed('vni', object, `its TAP ${tap} is not in ${bridge}`, `ip link set ${tap} master ${bridge}`);
    if (actualBridge === undefined || isBridgeUp) return [];
    return failed(
      'vni',
      object,
      `the bridge ${actualBridge} of its TAP ${tap} is down`,
      `ip link set ${actualBridge} up`,
    );
  });
  return faultsOr(
    faults,
    ok('vni', `${vnis.length} ${vnis.length === 1 ? 'VNI' : 'VNIs'}`, 'every TAP is up and where it belongs'),
  );
}

/** For a shell. */
function quoted(word: string): string {
  return /^[\w=.,:@+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** @param vtepctl how to call it, with its `--socket` */
export function checkRemotesInGroup(vnis: readonly VniFacts[], vtepctl: string): Finding[] {
  return vnis.flatMap(({ vni, group, remotesInGroup }) =>
    remotesInGroup.map((remote) => {
      const message = `heard in the group ${group} too, so that it gets each flood of VNI ${vni} twice`;
      return warning('remote-in-group', remote, message, `${vtepctl} remote del ${remote} --vni ${vni}`);
    }),
  );
}

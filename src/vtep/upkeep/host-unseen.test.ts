/** What the kernel does not say is `?` with the reason, and never ok. */
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../config/parse.ts';
import { chooseSource } from '../../host/underlay/source-choice.ts';
import type { ChoiceGround } from '../../host/underlay/underlay-choice.ts';
import { type IpAddress, parseIp } from '../../lib/addresses.ts';
import { attribute, readAttributes, uint32 } from '../../sys/netlink/netlink-message.ts';
import type { NetlinkSocket } from '../../sys/netlink/netlink-socket.ts';
import { isLocalAddress } from '../../sys/netlink/routes.ts';
import { ERRNO, SysError } from '../../sys/sys-error.ts';
import { FloodList } from '../vni/flood-list.ts';
import type { Vni } from '../vni/vni.ts';
import { vniStatus } from '../vni/vni-status.ts';
import { HostWatch, type WatchedHost } from './host-watch.ts';
import { pathsOf, Routes } from './path-watch.ts';

const ip = (text: string) => parseIp(text) as IpAddress;
const REMOTE = ip('198.18.0.2');
const [RTMSG_BYTES, RTA_OIF] = [12, 4];

/** A socket that answers every request with this errno. */
function refusing(errno: number): NetlinkSocket {
  const query = (_type: number, _parts: readonly Uint8Array[], object: string) => {
    throw new SysError(object, errno);
  };
  return { query } as unknown as NetlinkSocket;
}

/** A host that has a route in one VRF alone, by interface 2. What was asked for is in `asked`, the VRF of each. */
function routedIn(vrf: number | undefined, asked: (number | undefined)[]): NetlinkSocket {
  const query = (_type: number, parts: readonly Uint8Array[], object: string) => {
    const oif = readAttributes(Buffer.concat(parts.slice(1)))
      .get(RTA_OIF)
      ?.readUInt32LE(0);
    asked.push(oif);
    if (oif !== vrf) throw new SysError(object, ERRNO.ENETUNREACH);
    return [{ payload: Buffer.concat([Buffer.alloc(RTMSG_BYTES), attribute(RTA_OIF, uint32(2))]) }];
  };
  return { query } as unknown as NetlinkSocket;
}

function onNetlink(netlink: NetlinkSocket): ChoiceGround {
  const config = parseConfig({ vni: [`100,remote=${REMOTE}`], local: [], check: false, scalars: {} });
  return { netlink, config, addresses: { has: () => false } as unknown as ChoiceGround['addresses'] };
}

/** A VNI of which all is well but for what is said of its paths. */
function vniOf({ config }: ChoiceGround, vrf: { index: number } | undefined, paths: Vni['paths']): Vni {
  const underlay = { family: 4, link: { index: 2 }, vrf };
  const link = { name: 'vxlan100', up: true };
  const flood = new FloodList();
  flood.sent = new Map([[REMOTE, 1]]);
  return { config: config.vnis[0], underlay, underlays: [underlay], flood, link, paths } as unknown as Vni;
}

function statusOn(netlink: NetlinkSocket, vrf?: { index: number }): string {
  const ground = onNetlink(netlink);
  const vni = vniOf(ground, vrf, undefined);
  return vniStatus({ ...vni, paths: pathsOf(vni, ground, new Routes(ground)) });
}

describe('routes', () => {
  it.each(['EPERM', 'ENOBUFS', 'EAGAIN', 'ENOMEM', 'EBUSY'] as const)('%s is no answer', (name) => {
    expect(statusOn(refusing(ERRNO[name]))).toMatch(new RegExp(`^\\?: route to ${REMOTE}: ${name} `));
    expect(isLocalAddress(refusing(ERRNO[name]), REMOTE)).toBeUndefined();
  });

  it.each(['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL', 'EAFNOSUPPORT'] as const)(
    '%s is: there is none',
    (name) => {
      expect(statusOn(refusing(ERRNO[name]))).toBe(`no route to ${REMOTE}`);
      expect(isLocalAddress(refusing(ERRNO[name]), REMOTE)).toBe(false);
    },
  );

  it('are not well before anybody asked', () => {
    expect(vniStatus(vniOf(onNetlink(refusing(ERRNO.EPERM)), undefined, undefined))).toMatch(/^\?: /);
  });

  it.each([undefined, { index: 7 }])('are those of the VRF that is sent in: %o', (vrf) => {
    const asked: (number | undefined)[] = [];
    expect(statusOn(routedIn(vrf?.index, asked), vrf)).toBe('ok');
    expect(asked).toEqual([vrf?.index]);
    expect(statusOn(routedIn(vrf ? undefined : 7, asked), vrf)).toBe(`no route to ${REMOTE}`);
  });
});

it('an address of which is not known whether the host has it is not called absent', () => {
  const need = { family: 4, index: 2, name: 'eth0', vrf: undefined, given: REMOTE, present: REMOTE } as const;
  const nowhere = { find: () => undefined, isAnywhere: () => false, on: () => [] };
  expect(chooseSource(need, nowhere, () => undefined)?.trouble).toBe(
    `?: whether ${REMOTE} is on this host cannot be read`,
  );
});

const NO_CHANGES = { added: [], removed: [] };

describe('links and addresses', () => {
  let watch: HostWatch | undefined;
  afterEach(() => watch?.stop());

  it.each(['EPERM', 'EAGAIN'] as const)('that cannot be listed (%s) leave no VNI ok', (name) => {
    let heard = 0;
    const lines: Record<string, unknown>[] = [];
    const held = {
      ...{ netlink: refusing(ERRNO[name]), underlays: [], vnis: [], addresses: { list: () => {} } },
      log: pino({ base: null }, { write: (line: string) => lines.push(JSON.parse(line)) }),
      own: { takeChanges: () => ({ own: NO_CHANGES, broadcasts: NO_CHANGES }) },
      ...{ touchPaths: () => {}, onHeard: () => heard++ },
    } as unknown as WatchedHost;
    watch = new HostWatch(held);
    expect(watch.unseen).toBeUndefined();
    watch.start();
    const paths = { trouble: undefined, unseen: undefined, isElsewhere: false };
    const vni = vniOf(onNetlink(held.netlink), undefined, paths);
    expect(vniStatus(vni, { unseen: watch.unseen })).toMatch(new RegExp(`^\\?: list of links: ${name} `));
    expect(vniStatus({ ...vni, link: undefined }, { unseen: watch.unseen })).toBe('vxlan100 is gone');
    expect(vniStatus(vni)).toBe('ok');
    expect([heard, lines.map(({ event }) => event)]).toEqual([1, ['host-unseen']]);
  });
});

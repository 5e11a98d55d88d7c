import type { Finding } from '../../api/schemas.ts';
import type { Config } from '../../config/config.ts';
import type { RecentDrop, RecentDrops } from '../../vtep/drop-history.ts';
import { ipLinkIn } from '../../vtep/vni/tap-status.ts';
import { faultsOr, ok, someOf, warning } from './finding.ts';

/** The command, flag or key that corrects it, or the command that shows whose frames they are. */
type Remedy = (drop: RecentDrop, vtepctl: string) => string | null;
/** The likely cause of a drop, and what to do. */
type Meaning = readonly [meaning: string, remedy: Remedy];
/** The settings that the meaning of a reason depends on. */
type Settings = Pick<Config, 'allowedVteps' | 'reservedBits'>;
type MeaningHere = (settings: Settings, drop: RecentDrop) => Meaning;

const just = (remedy: string | null) => () => remedy;
const none = () => null;
const capture: Remedy = ({ vnis }, vtepctl) =>
  `${vtepctl} capture --drops${vnis.length === 1 ? ` --vni ${vnis[0]?.vni}` : ''} -c 10`;

/** On a trunk, tags that pass in the VNI of untagged frames would be VLANs of other VNIs. */
const TAGS: Meaning = [
  'frames with an 802.1Q tag, which a VNI drops by default',
  ({ vnis }) => (vnis[0]?.vlan === 0 ? 'inner-vlan=strip' : 'inner-vlan=pass'),
];
const CONTROL: MeaningHere = (_, { vnis }) => {
  const settings = vnis.map(({ l2Control }) => l2Control);
  if (settings.length > 0 && settings.every((each) => each === 'pass'))
    return ['pause frames, which are never forwarded', capture];
  const names = [...new Set(settings.filter(Array.isArray).flat())];
  if (names.length === 0 || settings.includes('drop')) {
    const all = 'layer-2 control frames (STP, LACP, EAPOL, LLDP), which a VNI drops by default';
    return [all, just('l2-control=pass')];
  }
  // Only a capture shows which of the other protocols they are.
  return [`layer-2 control frames of protocols that l2-control=${names.join('+')} does not pass`, capture];
};
const BAD_SOURCE: Meaning = ['frames whose source MAC is a group or zero, which no station can have', capture];
const CONFLICT: Meaning = [
  'frames of a station whose static entry names another place',
  ({ vnis }, vtepctl) => `${vtepctl} fdb show --static${vnis.length === 1 ? ` --vni ${vnis[0]?.vni}` : ''}`,
];
/** Where the TAP is now, and only while it is down: it may have been moved or set up since. */
const TAP_DOWN: MeaningHere = (_, { vnis }) => {
  const [down] = vnis.filter(({ tapNow }) => tapNow?.up === false);
  if (!down?.tapNow) return ['the TAP was down or gone', none];
  const ipLink = ipLinkIn(down.elsewhere);
  return ['the TAP is down', just(ipLink && `${ipLink} set ${down.tapNow.name} up`)];
};
/** Names a cause only if each of the VNIs has a known one. */
const SEND_ERROR: MeaningHere = (_, { vnis }) => {
  const troubles = new Set(vnis.map(({ underlayTrouble }) => underlayTrouble));
  if (vnis.length > 0 && !troubles.has(undefined)) return [`they cannot be sent: ${[...troubles].join(', ')}`, none];
  return ['the kernel refused to send: perhaps an interface that is down, no route, or a firewall', none];
};
const STORM: Meaning = ['more floods than storm= allows: a loop, or a limit that is too low', capture];

/**
 * Drops by which a sender loses all its frames, or that show that the host is too slow. The others are normal: own packets that come back, answers
 * instead of floods, stations of one bridge, what `flood=` holds back, congestion marks.
 */
const TELLING: Readonly<Record<'rx' | 'tx', Readonly<Record<string, Meaning | MeaningHere | undefined>>>> = {
  rx: {
    short: ['shorter than a VXLAN header: another protocol is sent to this port', capture],
    'vtep-not-allowed': ({ allowedVteps }) =>
      allowedVteps.length > 0
        ? ['from a VTEP that no --allow-vtep names, or from an address that no host can have', capture]
        : ['from an address that no host can have: 0.0.0.0/8, a group, a broadcast address', capture],
    'no-i-flag': ['without the I flag of VXLAN: another protocol is sent to this port', capture],
    'reserved-bits': ({ reservedBits }) =>
      reservedBits === 'drop'
        ? ['another VTEP uses an extension of VXLAN, such as VXLAN-GPE or group policy', just('--reserved-bits ignore')]
        : ['another VTEP sends VXLAN-GPE whose payload is not Ethernet: have it send Ethernet', capture],
    'unknown-vni': ['another VTEP sends a VNI that is not configured here', capture],
    'wrong-group': ['another VTEP uses another group for the VNI', capture],
    'short-inner': ['no complete Ethernet frame inside: malformed, or another protocol', capture],
    'bad-source-mac': BAD_SOURCE,
    'own-mac': ['received with the source MAC of the TAP here: a loop, or a station with the same MAC', capture],
    'link-local': CONTROL,
    'inner-vlan': TAGS,
    oversize: ['frames longer than a TAP can carry', capture],
    'static-conflict': CONFLICT,
    storm: STORM,
    'tap-down': TAP_DOWN,
    'socket-overrun': ['the host is too busy to read them in time; more threads help', just('--workers 2')],
  },
  tx: {
    'bad-source-mac': BAD_SOURCE,
    'static-conflict': CONFLICT,
    'inner-vlan': TAGS,
    'unknown-vlan': ['frames on the trunk with a VLAN that belongs to no VNI', capture],
    'link-local': CONTROL,
    storm: STORM,
    'no-remote': [
      'floods have no destination, since there is no group and no remote but this host; or a static entry names an address of this host',
      ({ vnis }, vtepctl) => (vnis[0] ? `${vtepctl} remote add IP --vni ${vnis[0].vni}` : null),
    ],
    'send-full': [
      'the kernel accepts no more: perhaps the queue of the underlay is full, or remotes that do not answer hold the send buffer',
      none,
    ],
    'send-error': SEND_ERROR,
    'tap-overrun': [
      'the host sends faster than vtepd reads, and more threads help; or it sends super-frames with contradictory headers',
      just('--workers 2'),
    ],
  },
};

/** Recent drops. Those that ended a minute ago are only in `vtepctl drops`. @param vtepctl how to call it, with its `--socket` */
export function checkDrops({ seconds, drops }: RecentDrops, vtepctl: string, settings: Settings): Finding[] {
  const faults = drops.flatMap((drop) => {
    const { direction, reason, count, vnis } = drop;
    const told = TELLING[direction][reason];
    if (told === undefined) return [];
    const [meaning, remedy] = typeof told === 'function' ? told(settings, drop) : told;
    const where = vnis.length === 0 ? '' : ` (VNI ${someOf(vnis.map(({ vni }) => vni))})`;
    const message = `${count} in the last ${seconds} s${where}: ${meaning}`;
    return warning('drops', `${direction} ${reason}`, message, remedy(drop, vtepctl));
  });
  return faultsOr(faults, ok('drops', 'all VNIs', 'no recent drops that need attention'));
}

/** Segments for tests. */
import { ENCAP } from '../encap/encapsulation.ts';
import { NO_CONTROL } from '../wire/link-local.ts';
import { FLOOD, INNER_VLAN, NO_GROUP, NO_UNDERLAY, NO_VLAN, type Segment } from './segment.ts';

/** VNI 100 over IPv4, with its own TAP that is up, no group and an empty flood list. `differs` overrides these values. */
export function plainSegment(differs: Partial<Segment> = {}): Segment {
  return {
    index: 0,
    encap: ENCAP.vxlan,
    vni: 100,
    ipv4Underlay: 0,
    ipv6Underlay: NO_UNDERLAY,
    group: NO_GROUP,
    groupRemote: 0,
    floodRemotes: [],
    tap: 0,
    vlan: NO_VLAN,
    tapUp: true,
    tapMtuBytes: 1_450,
    tapMacHigh: 0,
    tapMacLow: 0,
    maxFrameBytes: 1_464,
    suppress: false,
    learning: true,
    maxMacs: 10,
    innerVlan: INNER_VLAN.drop,
    control: NO_CONTROL,
    flood: FLOOD.all,
    stormPps: 0,
    ...differs,
  };
}

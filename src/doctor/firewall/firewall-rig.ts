import type { IpAddress } from '../../lib/addresses.ts';
import type { ProtectedTraffic } from './firewall-check.ts';

export const ip = (text: string) => text as IpAddress;

/** VXLAN of one group and one VTEP. */
export const TRAFFIC: ProtectedTraffic = {
  ...{ dev: 'eth0', family: 4, local: ip('198.18.0.1'), groups: [ip('239.1.1.1')], vteps: [ip('198.18.0.2')] },
  ...{ port: 4789, sourcePorts: { first: 49_152, last: 65_535 } },
};

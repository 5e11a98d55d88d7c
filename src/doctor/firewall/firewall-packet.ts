import type { IpAddress } from '../../lib/addresses.ts';

/** A VXLAN datagram, as rules see it. */
export interface Packet {
  readonly direction: 'in' | 'out';
  readonly family: 4 | 6;
  /** The underlay interface; undefined: any. */
  readonly dev: string | undefined;
  /** undefined: any. */
  readonly source: IpAddress | undefined;
  readonly destination: IpAddress | undefined;
  /** UDP destination port. */
  readonly port: number;
  readonly sourcePorts: PortRange;
  /** Of this host, of the datagram's family; undefined: not known. */
  readonly ownAddresses?: readonly OwnAddress[] | undefined;
}

export interface OwnAddress {
  readonly address: IpAddress;
  readonly dev: string;
  readonly isGlobal: boolean;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

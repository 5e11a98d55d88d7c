import type { IpAddress } from '../lib/addresses.ts';
import { close } from '../sys/libc.ts';
import { droppedByKernel, joinGroup, openGroupSocket } from '../sys/socket/udp-socket.ts';

export interface Device {
  readonly name: string;
  readonly index: number;
}

/** Where memberships are opened: the kernel, or a twin for tests. */
export interface GroupSockets {
  /** A socket bound to the group and joined on the device. Throws VtepError. */
  open(group: IpAddress, port: number, device: Device, isBeside?: boolean): number;
  close(fd: number): void;
  /** Datagrams lost at the socket since it was opened. */
  dropped(fd: number): number;
}

export const kernelGroupSockets: GroupSockets = {
  open(group, port, device, isBeside = false) {
    const fd = openGroupSocket(group, port, device, { isBeside });
    try {
      joinGroup(fd, group, device);
      return fd;
    } catch (error) {
      close(fd);
      throw error;
    }
  },
  close,
  dropped: droppedByKernel,
};

/** One group with its number in the data path, and its socket while it is joined. */
export interface Membership {
  readonly number: number;
  readonly group: IpAddress;
  readonly fd: number;
}

export interface MembershipOptions {
  readonly port: number;
  readonly device: Device;
  readonly nextNumber: () => number;
}

/** `users` have the group, `needs` of them want it joined now. */
interface Member {
  readonly number: number;
  fd: number | undefined;
  users: number;
  needs: number;
}

/**
 * The groups of one device, one socket each while joined, counted: two VNIs may share a group, and the last one that needs it closes the
 * socket, which makes the kernel send the IGMP leave. A socket is closed by `close` alone, so that a worker can let it go first.
 */
export class GroupMembership {
  readonly #sockets: GroupSockets;
  readonly #port: number;
  readonly #members = new Map<IpAddress, Member>();
  readonly #nextNumber: () => number;
  /** Sockets not yet closed, also those that a worker has not released yet. */
  readonly #open = new Set<number>();
  /** Undefined while the device is gone. */
  #device: Device | undefined;
  /** Datagrams lost at sockets that are closed by now. */
  #droppedBefore = 0;

  /** @param nextNumber gives numbers that are unique for all groups of all devices */
  constructor(sockets: GroupSockets, { port, device, nextNumber }: MembershipOptions) {
    this.#sockets = sockets;
    this.#port = port;
    this.#device = device;
    this.#nextNumber = nextNumber;
  }

  /**
   * Joins, or counts one more user.
   *
   * @param isNeeded whether this user wants it joined now; if not, `need` says so later
   * @returns the group's number, and the new socket if one was opened: not for a group that is joined already or a device that is gone
   * @throws VtepError if the kernel refuses; nothing has changed then
   */
  join(group: IpAddress, isNeeded = true): { number: number; opened: number | undefined } {
    const known = this.#members.get(group);
    const isFirst = isNeeded && (known === undefined || known.needs === 0);
    const opened = isFirst && this.#device ? this.#openSocket(group, this.#device) : undefined;
    const member = known ?? { number: this.#nextNumber(), fd: undefined, users: 0, needs: 0 };
    this.#members.set(group, member);
    member.users++;
    if (isNeeded) member.needs++;
    if (isFirst) member.fd = opened;
    return { number: member.number, opened };
  }

  /**
   * Counts one user less. Returns the socket to close, if no other needs it.
   *
   * @param wasNeeded whether this user wanted it joined
   */
  leave(group: IpAddress, wasNeeded = true): number | undefined {
    const member = this.#members.get(group);
    if (!member) return undefined;
    const [left] = wasNeeded ? this.release(group) : [];
    if (--member.users === 0) this.#members.delete(group);
    return left?.fd;
  }

  /** A user that has the group wants it joined from now on; `resume` joins it. */
  need(group: IpAddress): void {
    const member = this.#members.get(group);
    if (member) member.needs++;
  }

  /** Undoes `need`: the user keeps the group's number. Returns the membership whose socket is to be closed, if no other needs it. */
  release(group: IpAddress): Membership[] {
    const member = this.#members.get(group);
    if (!member || --member.needs > 0 || member.fd === undefined) return [];
    const left = { group, number: member.number, fd: member.fd };
    member.fd = undefined;
    return [left];
  }

  /**
   * The device is gone with every membership, and nothing comes back by itself, not even with the same name. Returns what was joined, for the caller
   * to close the sockets.
   */
  suspend(): Membership[] {
    this.#device = undefined;
    const { joined } = this;
    for (const member of this.#members.values()) member.fd = undefined;
    return joined;
  }

  /**
   * The device exists again, or another with its name: joins all groups that are needed and not joined. Numbers stay.
   *
   * @returns what was joined, and the errors of what could not be; call it again for those
   */
  resume(device: Device): { joined: Membership[]; errors: Error[] } {
    this.#device = device;
    const joined: Membership[] = [];
    const errors: Error[] = [];
    for (const [group, member] of this.#members) {
      if (member.fd !== undefined || member.needs === 0) continue;
      try {
        member.fd = this.#openSocket(group, device);
        joined.push({ group, number: member.number, fd: member.fd });
      } catch (error) {
        errors.push(error as Error);
      }
    }
    return { joined, errors };
  }

  /** Closes a socket that is no longer used; the kernel leaves the group. */
  close(fd: number): void {
    this.#droppedBefore += this.#sockets.dropped(fd);
    this.#open.delete(fd);
    this.#sockets.close(fd);
  }

  /** The groups that are joined now. */
  get joined(): Membership[] {
    return [...this.#members].flatMap(([group, { number, fd }]) => (fd === undefined ? [] : [{ group, number, fd }]));
  }

  isJoined(group: IpAddress): boolean {
    return this.#members.get(group)?.fd !== undefined;
  }

  /** Datagrams the kernel lost at group sockets, closed ones included. */
  get dropped(): number {
    let dropped = this.#droppedBefore;
    for (const fd of this.#open) dropped += this.#sockets.dropped(fd);
    return dropped;
  }

  #openSocket(group: IpAddress, device: Device): number {
    const fd = this.#sockets.open(group, this.#port, device);
    this.#open.add(fd);
    return fd;
  }
}

import { close } from '../sys/libc.ts';
import { letIn } from '../sys/socket/udp-socket.ts';

/**
 * The sockets of this daemon that hold its UDP port. The first of a family is bound without sharing, so that a second daemon or a vxlan device of
 * the kernel is refused. Further ones, of groups, VRFs and single addresses, are allowed only while they are bound: the kernel checks SO_REUSEADDR
 * of both sockets only at that moment.
 *
 * If unicast is received on single addresses only, no two sockets of a daemon overlap, but daemons that share the host may have a group in common.
 * The kernel gives each a copy of the datagrams, so group sockets allow sharing permanently, and unicast sockets do not.
 */
export class HeldPort {
  readonly #families = { 4: new Holders(), 6: new Holders() };
  readonly #sharesGroups: boolean;

  /** @param options `sharesGroups`: other daemons of the host may have its groups too; unicast is then received on single addresses only */
  constructor({ sharesGroups }: { sharesGroups: boolean }) {
    this.#sharesGroups = sharesGroups;
  }

  /** Opens sockets for unicast, which may overlap with every other. @param open gets whether others must allow it */
  openListeners(family: 4 | 6, open: (isBeside: boolean) => number[]): number[] {
    const { listeners, groups } = this.#families[family];
    const fds = openBeside([...listeners, ...groups], open);
    for (const fd of fds) listeners.add(fd);
    return fds;
  }

  /** Opens the socket of a group, which overlaps only with those for unicast. */
  openGroup(family: 4 | 6, open: (isBeside: boolean) => number): number {
    if (this.#sharesGroups) return open(true);
    const { listeners, groups } = this.#families[family];
    const [fd] = openBeside([...listeners], (isBeside) => [open(isBeside)]) as [number];
    groups.add(fd);
    return fd;
  }

  close(fd: number): void {
    for (const { listeners, groups } of Object.values(this.#families)) {
      listeners.delete(fd);
      groups.delete(fd);
    }
    close(fd);
  }
}

class Holders {
  readonly listeners = new Set<number>();
  readonly groups = new Set<number>();
}

function openBeside(holders: readonly number[], open: (isBeside: boolean) => number[]): number[] {
  if (holders.length === 0) return open(false);
  try {
    for (const fd of holders) letIn(fd, true);
    const fds = open(true);
    for (const fd of fds) letIn(fd, false);
    return fds;
  } finally {
    for (const fd of holders) letIn(fd, false);
  }
}

import { close } from '../sys/libc.ts';
import { letIn } from '../sys/socket/udp-socket.ts';

/**
 * The sockets of this daemon that hold its UDP port. The first of a family is bound as if nobody might share the port, so that a second daemon
 * or a kernel's vxlan device is refused. Further ones, of groups, VRFs and single addresses, are let in while they are bound, and nobody
 * after them: the kernel looks at SO_REUSEADDR of both sockets at that moment alone.
 *
 * Where unicast is heard on single addresses alone, no two sockets of a daemon overlap, but daemons that share the host may have a group in common. The kernel gives each a
 * copy of what is sent to it, so sockets of groups stay open to others of the kind; those for unicast are not.
 */
export class HeldPort {
  readonly #families = { 4: new Holders(), 6: new Holders() };
  readonly #sharesGroups: boolean;

  /** @param options `sharesGroups`: other daemons of the host may have its groups too; unicast is heard on single addresses alone then */
  constructor({ sharesGroups }: { sharesGroups: boolean }) {
    this.#sharesGroups = sharesGroups;
  }

  /** Opens sockets for unicast, which may overlap with every other. @param open is told whether others have to let it in */
  openListeners(family: 4 | 6, open: (isBeside: boolean) => number[]): number[] {
    const { listeners, groups } = this.#families[family];
    const fds = openBeside([...listeners, ...groups], open);
    for (const fd of fds) listeners.add(fd);
    return fds;
  }

  /** Opens the socket of a group, which overlaps with those for unicast alone. */
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

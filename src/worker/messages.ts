import type { Encap } from '../encap/encapsulation.ts';
import type { CaptureFilter } from '../forward/capture/capture-writer.ts';
import type { IpPrefix } from '../lib/ip-prefix.ts';
import type { SegmentUpdate } from '../segment/segment.ts';
import { APART_WORDS } from '../underlay/apart-sockets.ts';

/**
 * Messages between the main thread and a worker, by message port. A worker blocks in epoll_wait, so each order is followed by a write to its eventfd.
 */

/** Main thread to worker. The main thread assigns the numbers of TAPs, sockets and underlays, and closes the fds. */
export type Order =
  /** Replaces the previous value as a whole. */
  | { readonly kind: 'settings'; readonly settings: WorkerSettings }
  | { readonly kind: 'segment'; readonly update: SegmentUpdate }
  /** One queue of a TAP. `mergesUdp`: its kernel accepts runs of UDP datagrams as one super-frame (USO, Linux 6.2). */
  | { readonly kind: 'add-tap'; readonly tap: number; readonly fd: number; readonly mergesUdp: boolean }
  | { readonly kind: 'remove-tap'; readonly tap: number }
  /** A socket to receive from. `group`: number of the group that it is bound to, or NO_GROUP. `encap`: encapsulation of its datagrams. */
  | {
      readonly kind: 'add-socket';
      readonly socket: number;
      readonly fd: number;
      readonly group: number;
      readonly encap: Encap;
    }
  | { readonly kind: 'remove-socket'; readonly fd: number }
  /**
   * Replaces the send sockets of an underlay. There are none while it has no address. `scope`: index of its interface, for link-local addresses.
   * `fragmentable`: how many sockets, the last ones, are for inner packets without DF.
   */
  | {
      readonly kind: 'add-pool';
      readonly underlay: number;
      readonly family: 4 | 6;
      readonly scope: number;
      readonly fds: readonly number[];
      readonly fragmentable: number;
    }
  /** The interface of an underlay was created again. */
  | { readonly kind: 'pool-scope'; readonly underlay: number; readonly scope: number }
  /** Addresses that are own addresses of this VTEP from now on, or no longer. Four words each. */
  | {
      readonly kind: 'own-addresses' | 'broadcast-addresses';
      readonly added: Int32Array;
      readonly removed: Int32Array;
    }
  /** Frames are copied into the ring from now on. */
  | {
      readonly kind: 'start-capture';
      readonly capture: number;
      readonly ring: SharedArrayBuffer;
      readonly filter: CaptureFilter;
    }
  | { readonly kind: 'stop-capture'; readonly capture: number };

/** Settings that all VNIs share and that a reload may change. */
export interface WorkerSettings {
  readonly dropReservedBits: boolean;
  /** Outer TOS octet, or INHERIT_TOS. */
  readonly tos: number;
  /** Whether the outer DF bit is the inner packet's. */
  readonly inheritsDf: boolean;
  /** The accepted outer sources. None: all are accepted. */
  readonly allowedVteps: readonly IpPrefix[];
  /** Whether the worker may poll for packets for a while before it sleeps. */
  readonly busyPoll: boolean;
}

/** An order as it is sent. The worker answers `done` with its number once it is in force. */
export interface NumberedOrder {
  readonly number: number;
  readonly order: Order;
}

/** Worker to main thread. */
export type Report =
  | { readonly kind: 'done'; readonly number: number }
  /** The kernel refused the packets of an offload, and accepted them one by one. The worker does not use the offload from now on. */
  | { readonly kind: 'offload-off'; readonly offload: WorkerOffload; readonly error: number }
  /** The TAP was deleted. The worker has released it. */
  | { readonly kind: 'tap-gone'; readonly tap: number }
  /** A remote of the flood list of a segment was heard in the group of the segment: it receives each flood twice. */
  | { readonly kind: 'remote-in-group'; readonly segment: number; readonly remote: number };

/** Offloads that a worker switches off where a path does not support them: datagrams that the kernel cuts, frames that are merged for the TAP. */
export type WorkerOffload = 'udpGso' | 'udpGro';

/**
 * Words that a worker and the main thread share: a stop flag (not zero: stop); the number of loop turns, which shows that the worker does not hang;
 * the number of VTEPs behind a smaller MTU; and from `apart` on, the report of ApartSockets.
 */
export const WORKER_CELL = { stop: 0, turns: 1, pathLimits: 2, apart: 3, cells: 3 + APART_WORDS } as const;

/** The setup of a new worker. */
export interface WorkerSetup {
  /** Unique among the threads that share the FDB, and larger than the number of the main thread. */
  readonly owner: number;
  readonly fdbMemory: SharedArrayBuffer;
  readonly countersMemory: SharedArrayBuffer;
  readonly remoteCountersMemory: SharedArrayBuffer;
  readonly busyTimeMemory: SharedArrayBuffer;
  /** Number of the worker, from 0 on. Its predecessors and successors have the same number. */
  readonly worker: number;
  /** The known neighbours, and those that workers report to the main thread. */
  readonly neighboursMemory: SharedArrayBuffer;
  /** Of WORKER_CELL. */
  readonly stopMemory: SharedArrayBuffer;
  /** Eventfd that wakes the worker to read its orders, or to stop. */
  readonly wakeFd: number;
  /** Start of the daemon on the monotonic clock, in milliseconds. FDB times count from it. */
  readonly epochMs: number;
  /** Destination UDP port. */
  readonly port: number;
  /** The buckets of storm control, shared by all workers. */
  readonly stormMemory: SharedArrayBuffer;
  /** Offloads that the worker may use, until a path refuses them. */
  readonly offload: { readonly [Name in WorkerOffload]: boolean };
}

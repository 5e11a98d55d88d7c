import type { Encap } from '../encap/encapsulation.ts';
import type { CaptureFilter } from '../forward/capture/capture-writer.ts';
import type { IpPrefix } from '../lib/ip-prefix.ts';
import type { SegmentUpdate } from '../segment/segment.ts';
import { APART_WORDS } from '../underlay/apart-sockets.ts';

/**
 * What the main thread and a worker say to each other, by message port. A worker blocks in epoll_wait, so each order is followed by a
 * write to its eventfd.
 */

/** Main thread to worker. Numbers of TAPs, sockets and underlays are the main thread's; fds stay its own to close. */
export type Order =
  /** Replaces what was told before, as one value. */
  | { readonly kind: 'settings'; readonly settings: WorkerSettings }
  | { readonly kind: 'segment'; readonly update: SegmentUpdate }
  /** One queue of a TAP. `mergesUdp`: its kernel takes runs of UDP datagrams as one super-frame (USO, Linux 6.2). */
  | { readonly kind: 'add-tap'; readonly tap: number; readonly fd: number; readonly mergesUdp: boolean }
  | { readonly kind: 'remove-tap'; readonly tap: number }
  /** A socket to receive from: `group` is the number of the group it is bound to, or NO_GROUP. `encap`: what its datagrams are. */
  | {
      readonly kind: 'add-socket';
      readonly socket: number;
      readonly fd: number;
      readonly group: number;
      readonly encap: Encap;
    }
  | { readonly kind: 'remove-socket'; readonly fd: number }
  /**
   * The send sockets of an underlay instead of those that it had; none while it has no address. `scope`: index of its interface, where its
   * link-local addresses are. `fragmentable`: how many of them, the last ones, are for what has no DF inside.
   */
  | {
      readonly kind: 'add-pool';
      readonly underlay: number;
      readonly family: 4 | 6;
      readonly scope: number;
      readonly fds: readonly number[];
      readonly fragmentable: number;
    }
  /** The interface of an underlay was made anew. */
  | { readonly kind: 'pool-scope'; readonly underlay: number; readonly scope: number }
  /** Addresses that are this VTEP's own from now on, or no more; four words each. */
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

/** What all VNIs have in common and a reload may change. */
export interface WorkerSettings {
  readonly dropReservedBits: boolean;
  /** Outer TOS octet, or INHERIT_TOS. */
  readonly tos: number;
  /** Whether the outer DF bit is the inner packet's. */
  readonly inheritsDf: boolean;
  /** The outer sources that are taken; none: any. */
  readonly allowedVteps: readonly IpPrefix[];
  /** Whether the worker may look for packets for a while before it sleeps. */
  readonly busyPoll: boolean;
}

/** An order as it travels; it is answered by `done` with its number once it is in force. */
export interface NumberedOrder {
  readonly number: number;
  readonly order: Order;
}

/** Worker to main thread. */
export type Report =
  | { readonly kind: 'done'; readonly number: number }
  /** The kernel refused what an offload made of the packets, and took them one by one: the worker does without it from now on. */
  | { readonly kind: 'offload-off'; readonly offload: WorkerOffload; readonly error: number }
  /** The TAP is no more; the worker has let it go. */
  | { readonly kind: 'tap-gone'; readonly tap: number }
  /** A remote of a segment's flood list was heard in the segment's group: it gets each flood twice. */
  | { readonly kind: 'remote-in-group'; readonly segment: number; readonly remote: number };

/** Offloads that a worker switches off where a path cannot do them: datagrams cut by the kernel; frames merged for the TAP. */
export type WorkerOffload = 'udpGso' | 'udpGro';

/**
 * Words that a worker and the main thread share: not zero once it is to stop; how often it has turned, which tells that it does not hang;
 * VTEPs behind a smaller MTU; and from `apart` on, what ApartSockets tells.
 */
export const WORKER_CELL = { stop: 0, turns: 1, pathLimits: 2, apart: 3, cells: 3 + APART_WORDS } as const;

/** What a worker starts with. */
export interface WorkerSetup {
  /** Unique among the threads that share the FDB, above the main thread's. */
  readonly owner: number;
  readonly fdbMemory: SharedArrayBuffer;
  readonly countersMemory: SharedArrayBuffer;
  readonly remoteCountersMemory: SharedArrayBuffer;
  readonly busyTimeMemory: SharedArrayBuffer;
  /** Which worker it is, from 0 on: its predecessors and successors are the same. */
  readonly worker: number;
  /** Which neighbours are known, and those that workers tell the main thread. */
  readonly neighboursMemory: SharedArrayBuffer;
  /** Of WORKER_CELL. */
  readonly stopMemory: SharedArrayBuffer;
  /** Eventfd that says: read your orders, or stop. */
  readonly wakeFd: number;
  /** The daemon's start on the monotonic clock, from which FDB times count; in milliseconds. */
  readonly epochMs: number;
  /** Destination UDP port. */
  readonly port: number;
  /** Storm control's buckets, shared by all workers. */
  readonly stormMemory: SharedArrayBuffer;
  /** Offloads that the worker may use, until a path refuses them. */
  readonly offload: { readonly [Name in WorkerOffload]: boolean };
}

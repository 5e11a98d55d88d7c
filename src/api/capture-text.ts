/** Captured frames as text: events of `/v1/capture`, and comments of packets in a pcapng file. */

import { ENCAPSULATIONS } from '../encap/codec.ts';
import type { MacAddress } from '../lib/addresses.ts';
import { frameMacs, summarizeFrame } from '../wire/capture/frame-summary.ts';
import { interfaceBlock, LINKTYPE, packetBlock, sectionBlock, statisticsBlock } from '../wire/capture/pcapng.ts';
import { outerHeaders } from '../wire/outer-headers.ts';
import type { CapturedFrame } from './daemon-view.ts';
import type { CaptureEvent } from './schemas.ts';

/** Numbers of the interfaces in a file. */
const UNDERLAY = 0;
const OVERLAY = 1;

export function captureEvent(frame: CapturedFrame): CaptureEvent {
  const { octets, headerBytes, direction, verdict, reason, vni, vtep, copies, segments } = frame;
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  const { src = null, dst = null } = frameMacs(view, headerBytes, octets.length - headerBytes) ?? {};
  return {
    time: timeText(frame.timeUs),
    ...{ event: 'frame', direction, verdict, reason, vni, vtep, copies, segments },
    ...{ src: src as MacAddress | null, dst: dst as MacAddress | null },
    length: frame.length - headerBytes,
    summary: summarizeFrame(view, headerBytes, octets.length - headerBytes),
  };
}

export function lostFrames(timeUs: number, count: number): CaptureEvent {
  const nothing = { direction: null, verdict: null, reason: null, vni: null, vtep: null, src: null, dst: null };
  return { time: timeText(timeUs), event: 'lost', ...nothing, copies: 0, segments: 0, length: 0, summary: '', count };
}

/** What a file begins with. @param application that makes it, e.g. `vtepd 1.2.3` */
export function fileHead(application: string): Uint8Array[] {
  const labels = Object.values(ENCAPSULATIONS)
    .map(({ label }) => label)
    .join(', ');
  return [
    sectionBlock(application),
    interfaceBlock(
      LINKTYPE.raw,
      'underlay',
      `${labels} datagrams; vtepd built the IP and UDP headers from what it knows`,
    ),
    interfaceBlock(LINKTYPE.ethernet, 'overlay', 'frames without a datagram'),
  ];
}

export function filePacket(frame: CapturedFrame): Uint8Array {
  const { timeUs, direction, outer, octets, length } = frame;
  const headers = outer ? [outerHeaders(outer, octets, length)] : [];
  return packetBlock({
    ...{ interface: outer ? UNDERLAY : OVERLAY, timeUs, direction, comment: commentOf(frame) },
    octets: [...headers, octets],
    length: headers.reduce((total, header) => total + header.length, length),
  });
}

/** @param lost frames so far */
export function fileLost(timeUs: number, lost: number): Uint8Array {
  return statisticsBlock(UNDERLAY, timeUs, lost);
}

/** `tx forwarded to 198.18.0.2`, `tx flooded to 239.1.1.1 and 2 remotes`, `rx dropped: own-mac`; a super-frame is said to be one. */
export function commentOf(frame: CapturedFrame): string {
  const { direction, segments, outer, vni } = frame;
  return [
    `${direction} ${verdictText(frame)}`,
    // Nowhere else in the file, where the frame is in no datagram.
    ...(outer || vni === null ? [] : [`VNI ${vni}`]),
    ...(segments > 1 ? [`super-frame of ${segments} segments`] : []),
  ].join(', ');
}

/** `forwarded to 198.18.0.2`, `flooded to 239.1.1.1 and 2 remotes`, `dropped: own-mac`. */
export function verdictText({
  direction,
  verdict,
  reason,
  vtep,
  copies,
}: Pick<CaptureEvent, 'direction' | 'verdict' | 'reason' | 'vtep' | 'copies'>): string {
  if (verdict === 'dropped') return `dropped: ${reason}`;
  if (verdict === 'flooded') {
    const remotes = copies === 0 ? [] : [`${copies} ${copies === 1 ? 'remote' : 'remotes'}`];
    return `flooded to ${[...(vtep === null ? [] : [vtep]), ...remotes].join(' and ')}`;
  }
  return direction === 'tx' ? `forwarded to ${vtep}` : 'forwarded';
}

function timeText(timeUs: number): string {
  const micros = Math.floor(timeUs % 1_000);
  return new Date(Math.floor(timeUs / 1_000)).toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`);
}

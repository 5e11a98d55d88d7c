import type { SourceAddress } from '../fdb/fdb.ts';
import { type Counters, NO_SEGMENT } from '../forward/counters.ts';
import { FORWARDED } from '../forward/drop-reason.ts';
import { type ReceivePath, receive } from '../forward/receive.ts';
import { type SendPath, send } from '../forward/send.ts';
import { TAP_GONE, type TapPort } from '../overlay/tap-port.ts';
import type { SegmentMap } from '../segment/segment-map.ts';
import type { UdpPort } from '../underlay/udp-port.ts';
import { VXLAN_HEADER_BYTES } from '../wire/vxlan.ts';

/** What one worker forwards between. */
export interface Ports {
  readonly taps: TapPort;
  readonly underlay: UdpPort;
  readonly segments: SegmentMap;
  readonly counters: Counters;
  readonly receivePath: ReceivePath;
  readonly sendPath: SendPath;
}

/** Forwards one batch of a socket's datagrams to the TAPs. @param now tenths of a second */
export function forwardDatagrams(ports: Ports, socket: number, now: number): void {
  const { underlay, counters, receivePath } = ports;
  const group = underlay.groupOf(socket);
  const count = underlay.receive(socket);
  for (let i = 0; i < count; i++) {
    const length = underlay.datagramBytes(i);
    setIpv4Source(receivePath.source, underlay.source(i));
    const verdict = receive(receivePath, underlay.datagramAt(i), length, group, now);
    const segment = receivePath.segment?.index ?? NO_SEGMENT;
    if (verdict === FORWARDED) counters.received(segment, length - VXLAN_HEADER_BYTES);
    else counters.rxDropped(segment, verdict);
  }
}

/** Forwards one batch of a TAP's frames to the underlay. Whether the TAP is still there. @param now tenths of a second */
export function forwardFrames(ports: Ports, tap: number, now: number): boolean {
  const { taps, underlay, counters, sendPath } = ports;
  const count = taps.read(tap);
  if (count === TAP_GONE) return false;
  const segment = ports.segments.byTap(tap);
  // A TAP whose VNI is being removed: its frames go nowhere.
  if (segment === undefined) return true;
  for (let i = 0; i < count; i++) {
    const verdict = send(sendPath, segment, taps.frameAt(i), taps.frameBytes(i), now);
    if (verdict !== FORWARDED) counters.txDropped(segment.index, verdict);
  }
  underlay.flush();
  return true;
}

/** IPv4-mapped IPv6 (RFC 4291 §2.5.5.2), as the remote table keeps it. */
export function setIpv4Source(source: SourceAddress, address: number): void {
  source.a = 0;
  source.b = 0;
  source.c = 0xffff;
  source.d = address;
}

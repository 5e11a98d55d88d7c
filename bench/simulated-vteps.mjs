/**
 * Run in a host's namespace: simulated-vteps.mjs PLAN, a PLAN in JSON.
 * Sends one VXLAN datagram for each MAC of each simulated VTEP, from that VTEP's outer address: whole frames through AF_PACKET, since no
 * socket has ten thousand addresses. Prints in JSON how many it sent and how long that took.
 */
import { readFileSync } from 'node:fs';
import { bind, errno, sendmmsg, socket } from '../dist/sys/libc.js';
import { Slab } from '../dist/sys/slab.js';

/**
 * @typedef {object} Plan
 * @property {string} device
 * @property {string} mac of the VTEP under test on the underlay
 * @property {string} address
 * @property {number} vteps
 * @property {number} macs of each VTEP
 * @property {number[]} vnis
 * @property {number} vnisPerVtep
 * @property {number} perSecond datagrams; 0 as many as can be
 */
const plan = JSON.parse(process.argv[2]);

const [AF_PACKET, SOCK_RAW, ETH_P_IP, ENOBUFS] = [17, 3, 0x0800, 105];
/** 198.19.0.0/16, the other half of what RFC 2544 sets apart: nobody of the lab's underlay. */
const FIRST_SOURCE = 0xc6_13_00_00;
const VXLAN_PORT = 4789;
const [IP_AT, UDP_AT, VXLAN_AT, INNER_AT] = [14, 34, 42, 50];
const INNER_BYTES = 60;
const FRAME_BYTES = INNER_AT + INNER_BYTES;

/** Messages of one sendmmsg; struct mmsghdr and struct iovec of 64-bit Linux. */
const BATCH = 64;
const [HEADER_BYTES, IOVEC_BYTES] = [64, 16];

const slab = new Slab(65_536);
const frames = slab.allocate(BATCH * FRAME_BYTES);
const headers = slab.allocate(BATCH * HEADER_BYTES);
const iovecs = slab.allocate(BATCH * IOVEC_BYTES);
const { view, bytes } = slab;

const fd = openSocket();
const ipSum = layOut();
const total = plan.vteps * plan.macs;
const begin = performance.now();
for (let sent = 0; sent < total; ) {
  const count = Math.min(BATCH, total - sent);
  for (let i = 0; i < count; i++) fill(frames + i * FRAME_BYTES, sent + i);
  sendAll(count);
  sent += count;
  if (plan.perSecond > 0) keepPace(sent);
}
console.log(JSON.stringify({ sent: total, seconds: (performance.now() - begin) / 1000 }));

function openSocket() {
  const opened = socket(AF_PACKET, SOCK_RAW, 0);
  // struct sockaddr_ll: family, protocol, index.
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeInt32LE(Number(readFileSync(`/sys/class/net/${plan.device}/ifindex`, 'utf8')), 4);
  if (opened < 0 || bind(opened, address, address.length) < 0) throw new Error(`AF_PACKET: errno ${errno()}`);
  return opened;
}

/** Writes what all frames share. @returns {number} the sum of their IPv4 header without the source address */
function layOut() {
  const frame = Buffer.alloc(FRAME_BYTES);
  frame.write(plan.mac.replaceAll(':', ''), 0, 'hex');
  frame.write(readFileSync(`/sys/class/net/${plan.device}/address`, 'utf8').trim().replaceAll(':', ''), 6, 'hex');
  frame.writeUInt16BE(ETH_P_IP, 12);
  frame.writeUInt16BE(0x4500, IP_AT);
  frame.writeUInt16BE(FRAME_BYTES - IP_AT, IP_AT + 2);
  frame.writeUInt16BE(0x4000, IP_AT + 6);
  frame.writeUInt16BE(0x4011, IP_AT + 8);
  for (const [i, octet] of plan.address.split('.').entries()) frame[IP_AT + 16 + i] = Number(octet);
  frame.writeUInt16BE(VXLAN_PORT, UDP_AT + 2);
  // The UDP checksum may be zero (RFC 7348 §5).
  frame.writeUInt16BE(FRAME_BYTES - UDP_AT, UDP_AT + 4);
  frame.writeUInt8(0x08, VXLAN_AT);
  // To a station that nobody has, of an EtherType that no protocol stack reacts to (IEEE Std 802, local experimental).
  frame.write('02ffffffffff', INNER_AT, 'hex');
  frame.writeUInt16BE(0x88b5, INNER_AT + 12);
  for (let i = 0; i < BATCH; i++) {
    bytes.set(frame, frames + i * FRAME_BYTES);
    slab.setAddress(iovecs + i * IOVEC_BYTES, frames + i * FRAME_BYTES);
    view.setUint32(iovecs + i * IOVEC_BYTES + 8, FRAME_BYTES, true);
    slab.setAddress(headers + i * HEADER_BYTES + 16, iovecs + i * IOVEC_BYTES);
    view.setUint32(headers + i * HEADER_BYTES + 24, 1, true);
  }
  let sum = 0;
  for (let at = IP_AT; at < UDP_AT; at += 2) sum += frame.readUInt16BE(at);
  return sum;
}

/** Datagram `number` of all: each VTEP's first MAC, then each one's second, so that no two in a row are of one VTEP. */
function fill(at, number) {
  const vtep = number % plan.vteps;
  const station = Math.floor(number / plan.vteps);
  const source = FIRST_SOURCE + 1 + vtep;
  view.setUint32(at + IP_AT + 12, source);
  const sum = ipSum + (source >>> 16) + (source & 0xffff);
  const folded = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(at + IP_AT + 10, ~(folded + (folded >>> 16)));
  view.setUint16(at + UDP_AT, 49_152 + (number % 16_000));
  const vni = plan.vnis[(vtep * plan.vnisPerVtep + (station % plan.vnisPerVtep)) % plan.vnis.length];
  view.setUint32(at + VXLAN_AT + 4, vni << 8);
  view.setUint16(at + INNER_AT + 6, 0x0200);
  view.setUint32(at + INNER_AT + 8, number);
}

/** What the device has no room for at once is sent again: lost shall only be what the VTEP loses. */
function sendAll(count) {
  for (let done = 0; done < count; ) {
    const result = sendmmsg(fd, slab.address(headers + done * HEADER_BYTES), count - done, 0);
    if (result < 0 && errno() !== ENOBUFS) throw new Error(`sendmmsg: errno ${errno()}`);
    done += Math.max(0, result);
  }
}

function keepPace(sent) {
  const aheadMs = (1000 * sent) / plan.perSecond - (performance.now() - begin);
  if (aheadMs >= 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, aheadMs);
}

/**
 * Run in a host's namespace: injector.mjs ADDRESS VNI COUNT
 * Sends COUNT VXLAN datagrams to the VTEP at ADDRESS, each with another inner source MAC, from a plain UDP socket.
 */
import { createSocket } from 'node:dgram';
import { setTimeout as pause } from 'node:timers/promises';

const VXLAN_PORT = 4789;
/** At a pace that no receive buffer overruns. */
const BURST = 50;
const BURST_INTERVAL_MS = 2;

const [address, vni, count] = process.argv.slice(2);
const socket = createSocket('udp4');
const send = (datagram) =>
  new Promise((resolve, reject) => {
    socket.send(datagram, VXLAN_PORT, address, (error) => (error ? reject(error) : resolve()));
  });

for (let i = 0; i < Number(count); i++) {
  await send(datagramFrom(i));
  if (i % BURST === BURST - 1) await pause(BURST_INTERVAL_MS);
}
socket.close();

/** VXLAN header (RFC 7348 §5), then a frame of 60 octets that no protocol stack reacts to. */
function datagramFrom(station) {
  const bytes = Buffer.alloc(8 + 60);
  bytes.writeUInt8(0x08, 0);
  bytes.writeUIntBE(Number(vni), 4, 3);
  bytes.write('02ffffffffff', 8, 'hex');
  bytes.writeUIntBE(0x02_00_00_00_00_00 + station, 14, 6);
  bytes.writeUInt16BE(0x88b5, 20);
  return bytes;
}

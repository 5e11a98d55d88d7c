/**
 * One end of a bulk TCP transfer, run inside a namespace:
 *   transfer-peer.mjs receive ADDRESS                prints {"port":N}, then the result at the end of the connection
 *   transfer-peer.mjs send ADDRESS PORT BYTES SEED   prints the result once the other end has closed
 * A result is {"bytes","sha256","seconds"} as one line.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const CHUNK_BYTES = 256 * 1024;
const [role, address, ...rest] = process.argv.slice(2);

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function result(bytes, hash, start) {
  print({ bytes, sha256: hash.digest('hex'), seconds: (performance.now() - start) / 1000 });
}

async function receive() {
  const server = createServer();
  server.listen(0, address);
  await once(server, 'listening');
  print({ port: server.address().port });
  const [socket] = await once(server, 'connection');
  const start = performance.now();
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of socket) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  server.close();
  result(bytes, hash, start);
}

/** Sends a key stream: reproducible, and no part of it repeats, so that a lost, doubled or swapped part shows. */
async function send([port, bytes, seed]) {
  const socket = connect({ host: address, port: Number(port) });
  await once(socket, 'connect');
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(CHUNK_BYTES);
  const hash = createHash('sha256');
  const start = performance.now();
  for (let left = Number(bytes); left > 0; left -= CHUNK_BYTES) {
    const chunk = stream.update(zeros.subarray(0, Math.min(left, CHUNK_BYTES)));
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  socket.resume();
  await once(socket, 'close');
  result(Number(bytes), hash, start);
}

await (role === 'receive' ? receive() : send(rest));

/**
 * The messages of gobgpd beside those that were recorded for the tests without it: both must say the same. RECORD_GOBGP=1 records them anew.
 *
 *     test ── gRPC ── gobgpd ──┐                    ┌── gobgpd ── gRPC ── test
 *       records here  host 1   └──── iBGP, EVPN ────┘   host 2  announces routes that no vtepd announces
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { beforeAll, expect, test } from 'vitest';
import { connectGobgp } from '../../src/evpn/gobgp/connect-gobgp.ts';
import { DIALECTS } from '../../src/evpn/gobgp/dialect.ts';
import { type GoldenMessages, goldenFile, meaningOf, readGolden } from '../../src/evpn/gobgp/golden-rig.ts';
import { GrpcConnection } from '../../src/evpn/gobgp/grpc-connection.ts';
import { EMPTY_REQUEST, listPathRequest, watchEventRequest } from '../../src/evpn/gobgp/requests.ts';
import { EXAMPLE_ROUTES, floodRoute } from '../../src/evpn/routes-rig.ts';
import type { Dialect } from '../../src/evpn/speaker.ts';
import { findGobgpd, Gobgpd } from '../support/lab/gobgpd.ts';
import { describeSystem, useLab } from '../support/lab/lab.ts';
import { waitUntil } from '../support/wait.ts';

const RD = '0001c61200020064';
const MINIMAL = ['40010100', '400304c6120002'];
const TARGET = '0002fde800000064';

/** NLRI and attributes of routes that only others announce, in hexadecimal. */
const FOREIGN = {
  'a default gateway, with its router MAC': [
    `0221${RD}${'00'.repeat(10)}0000000030020000000021${'00'}000064`,
    [...MINIMAL, `c01018${TARGET}030d0000000000000603020000000001`],
  ],
  'a community that nobody knows, and a route origin': [
    `0221${RD}${'00'.repeat(10)}0000000030020000000022${'00'}000064`,
    [...MINIMAL, `c01018${TARGET}43aa0000000000000003fde800000001`],
  ],
  'a MAC of an Ethernet segment, with two labels and an Ethernet tag': [
    `0228${RD}001122334455667788990000000730020000000023${'20'}c0000201000064000065`,
    [...MINIMAL, `c01008${TARGET}`],
  ],
  'without route targets': [`0221${RD}${'00'.repeat(10)}0000000030020000000024${'00'}000064`, MINIMAL],
  'a tunnel of another type': [
    `0311${RD}0000000720c6120002`,
    [...MINIMAL, `c01008${TARGET}`, `c0160d${'0003000064'}${'c6120002ef010101'}`],
  ],
  'a flood route without a tunnel': [`0311${RD}0000000820c6120002`, [...MINIMAL, `c01008${TARGET}`]],
  'type 1': [`0119${RD}00112233445566778899ffffffff000064`, [...MINIMAL, `c01008${TARGET}`]],
  'type 4': [`0417${RD}0011223344556677889920c6120002`, [...MINIMAL, `c01008${TARGET}`]],
  'type 5': [`0522${RD}${'00'.repeat(10)}00000000180a00000000000000000064`, [...MINIMAL, `c01008${TARGET}`]],
} as const satisfies Record<string, readonly [string, readonly string[]]>;

const VERSIONS = (['3.10', '3.36', '4.8'] as const).filter((version) => findGobgpd(version) !== undefined);

for (const version of VERSIONS) {
  describeSystem(`messages of gobgpd ${version}`, () => {
    const lab = useLab({ hosts: 2 });
    let messages: GoldenMessages;

    beforeAll(async () => {
      const [one, two] = [lab.host(1), lab.host(2)];
      const options = { version, asn: 65_000 };
      const [near, far] = await Promise.all([
        Gobgpd.start(one, { ...options, routerId: one.address, neighbours: [{ address: two.address, asn: 65_000 }] }),
        Gobgpd.start(two, { ...options, routerId: two.address, neighbours: [{ address: one.address, asn: 65_000 }] }),
      ]);
      messages = await record(near.socket, far.socket);
      if (process.env.RECORD_GOBGP) {
        mkdirSync(new URL('.', goldenFile(version)), { recursive: true });
        writeFileSync(goldenFile(version), `${JSON.stringify(messages, null, 1)}\n`);
      }
    }, 60_000);

    test('say what the recorded ones say', () => {
      expect(meaningOf(messages)).toEqual(meaningOf(readGolden(version)));
    });
  });
}

/** Announces the examples at the near one and the foreign routes at the far one, then withdraws one of each. */
async function record(near: string, far: string): Promise<GoldenMessages> {
  const speaker = await connectGobgp({ kind: 'unix', path: near });
  const farSpeaker = await connectGobgp({ kind: 'unix', path: far });
  const { dialect } = speaker;
  await waitUntil('the session is up', async () => (await speaker.peers()).every((peer) => peer.isEstablished), {
    timeoutMs: 30_000,
  });
  const connection = await GrpcConnection.open({ kind: 'unix', path: near });
  const farConnection = await GrpcConnection.open({ kind: 'unix', path: far });
  const service = DIALECTS[dialect].service;
  const watchEvent: string[] = [];
  const read = async (method: string, request: Uint8Array, into: string[] = []) => {
    const onMessage = (message: Uint8Array) => void into.push(Buffer.from(message).toString('base64'));
    await connection.stream(`${service}/${method}`, request, { onMessage });
    return into;
  };
  const watching = read('WatchEvent', watchEventRequest(dialect, 1), watchEvent).catch(() => undefined);
  await waitUntil('it follows', () => watchEvent.length > 0);
  for (const route of Object.values(EXAMPLE_ROUTES)) await speaker.add(route);
  const theirs = floodRoute({ rd: { form: 'ipv4', admin: 0xc6120002, value: 9 } });
  await farSpeaker.add(theirs);
  for (const [nlri, attributes] of Object.values(FOREIGN)) {
    await farConnection.unary(`${service}/AddPath`, addPath(dialect, nlri, attributes), 2_000);
  }
  const paths = Object.keys(EXAMPLE_ROUTES).length + Object.keys(FOREIGN).length + 1;
  const changes = () => meaningOf({ dialect, getBgp: [''], listPeer: [], listPath: [], watchEvent }).changes.length;
  await waitUntil('all are there', () => changes() === paths);
  await farSpeaker.remove(theirs);
  await waitUntil('one is gone', () => changes() === paths + 1);
  const messages = {
    dialect,
    getBgp: await read('GetBgp', EMPTY_REQUEST),
    listPeer: await read('ListPeer', EMPTY_REQUEST),
    listPath: await read('ListPath', listPathRequest(dialect)),
    watchEvent: [...watchEvent],
  };
  for (const each of [connection, farConnection]) each.lose('done');
  for (const each of [speaker, farSpeaker]) each.close();
  await watching;
  return messages;
}

/** AddPathRequest {table_type = 1, path = 3 {family = 9, nlri_binary = 20, pattrs_binary = 21}}. */
function addPath(dialect: Dialect, nlri: string, attributes: readonly string[]): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).uint32(DIALECTS[dialect].globalTable);
  writer.tag(3, WireType.LengthDelimited).fork();
  writer.tag(9, WireType.LengthDelimited).bytes(Uint8Array.of(0x08, 25, 0x10, 70));
  writer.tag(20, WireType.LengthDelimited).bytes(Buffer.from(nlri, 'hex'));
  for (const attribute of attributes) writer.tag(21, WireType.LengthDelimited).bytes(Buffer.from(attribute, 'hex'));
  return writer.join().finish();
}

/**
 * `--port`: the UDP port that is sent to and listened on (RFC 7348 §5).
 *
 *     vxlan100 ── host 1: vtepd  ───┐
 *     vxlan100 ── host 2: vtepd  ───┼── cables
 *     vxlan100 ── host 3: kernel ───┘
 */
import { expect, test } from 'vitest';
import { startKernelVtep, startVtepdVtep } from '../../support/daemon/vtep-host.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, readIpv4Frame, readUdp, vxlan } from '../../support/traffic/frames.ts';
import { arrivesAt, probeTexts, sendProbe } from '../../support/traffic/probes.ts';

const GROUP = '239.1.1.1';
const STATION = '02:00:00:00:01:01';

describeSystem('--port', () => {
  const lab = useLab({ hosts: 3 });
  const [one, two, three] = [lab.host(1), lab.host(2), lab.host(3)];

  test('T24: 4789, then 5000, then 4789 again: the port is used both ways, and no other', async () => {
    for (const [port, other] of [
      [4789, 5000],
      [5000, 4789],
      [4789, 5000],
    ] as const) {
      const options = { segments: [{ vni: 100, group: GROUP }], port };
      const vteps = await Promise.all([
        startVtepdVtep(one, options),
        startVtepdVtep(two, options),
        startKernelVtep(three, options),
      ]);
      const taps = [one, two, three].map((host) => host.packetSocket('vxlan100'));
      const cables = [one, two].map((host) => host.cable());
      const [a, b, c] = taps;
      if (!a || !b || !c) throw new Error('no TAP');
      sendProbe(a, { dst: BROADCAST, src: STATION, text: 'to all' });
      await arrivesAt('to all', b, c);
      for (const [number, from] of [b, c].entries()) {
        sendProbe(from, { dst: STATION, src: `02:00:00:00:02:0${number}`, text: `answer ${number}` });
        await arrivesAt(`answer ${number}`, a);
      }
      const ports = cables.flatMap((cable) =>
        cable.drain().flatMap(({ bytes }) => {
          const packet = readIpv4Frame(bytes);
          const carriesProbe = bytes.includes('to all') || bytes.includes('answer');
          return packet?.protocol === 17 && carriesProbe ? readUdp(packet.payload)?.destinationPort : [];
        }),
      );
      expect(new Set(ports)).toEqual(new Set([port]));
      const listening = one.udpSockets().filter((name) => /:(4789|5000)$/.test(name));
      expect(listening.toSorted()).toEqual([`0.0.0.0:${port}`, `${GROUP}:${port}`]);

      // What goes to the other port is nobody's.
      const sender = two.udpSocket({ address: two.address });
      const stray = vxlan({ vni: 100, inner: probe({ dst: BROADCAST, src: STATION, text: 'stray' }) });
      for (const to of [one.address, GROUP]) sender.send(stray, { to, port: other });
      sendProbe(b, { dst: BROADCAST, src: '02:00:00:00:02:00', text: 'after it' });
      await arrivesAt('after it', a);
      expect(probeTexts(a.drain())).not.toContain('stray');
      expect(await vteps[0].daemon.ctl('status')).toMatchObject({ port });
      await Promise.all(vteps.map((vtep) => vtep.stop()));
      for (const socket of [...taps, ...cables, sender]) socket.close();
    }
  });
});

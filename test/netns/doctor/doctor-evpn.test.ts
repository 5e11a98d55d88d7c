/**
 * What the doctor says of a gobgpd whose peer comes late, with a route that no VNI imports.
 *
 *     vxlan100 ── host 1  198.18.0.1 ───┐ vtepd, gobgpd 3.10
 *                 host 2  198.18.0.2 ───┘ gobgpd 3.10
 */
import { expect, test } from 'vitest';
import type { Finding } from '../../support/daemon/doctor.ts';
import { startVtepd } from '../../support/daemon/vtepd-process.ts';
import { GOBGPD_API_PORT, Gobgpd } from '../../support/lab/gobgpd.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { waitFor } from '../../support/wait.ts';

/** VNI 100 in the form of RFC 8365 §5.1.2.1. */
const COMPUTED = 0x1000_0064;

describeSystem('the doctor, with EVPN', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];

  test('names what is missing', async () => {
    const asn = 65_000;
    const speaker = `127.0.0.1:${GOBGPD_API_PORT}`;
    await Gobgpd.start(one, { asn, routerId: one.address, neighbours: [{ address: two.address, asn }] });
    const daemon = await startVtepd(one, ['--dev', 'eth0', '--vni', '100,rt=65000:7', '--evpn', speaker]);
    const findings = async () =>
      (await daemon.get<Finding[]>('/v1/doctor')).filter(({ check }) => check.startsWith('evpn'));
    /** Once a check says something other than ok. */
    const notOk = (name: string) =>
      waitFor(name, findings, (found) => found.some(({ check, status }) => check === name && status !== 'ok'), {
        everyMs: 200,
      });
    expect(await notOk('evpn-peers')).toMatchObject([
      { check: 'evpn', status: 'ok', object: speaker, message: expect.stringContaining('API v3, AS 65000') },
      { check: 'evpn-api', status: 'ok' },
      { check: 'evpn-version', status: 'warning', object: 'gobgpd 3.10' },
      { check: 'evpn-peers', status: 'failed', message: expect.stringContaining('established: 198.18.0.2') },
      { check: 'evpn-vni', status: 'ok' },
      { check: 'evpn-routes', status: 'ok' },
    ]);
    const peer = await Gobgpd.start(two, { asn, routerId: two.address, neighbours: [{ address: one.address, asn }] });
    const nlri = `multicast ${two.address} etag 0 rd 65000:9 rt 65000:${COMPUTED}`;
    const route = `${nlri} encap vxlan pmsi ingress-repl 100 ${two.address}`;
    peer.cli('global', 'rib', 'add', '-a', 'evpn', ...route.split(' '));
    const found = await notOk('evpn-routes');
    expect(found.find(({ check }) => check === 'evpn-peers')).toMatchObject({ status: 'ok' });
    expect(found.at(-1)).toMatchObject({
      check: 'evpn-routes',
      status: 'warning',
      remedy: `--vni 100,rt=65000:${COMPUTED}`,
    });
    const { code, stdout } = await daemon.runCtl('evpn', 'routes', '--unused', '--type', '3');
    expect([code, stdout]).toEqual([0, expect.stringContaining('no VNI imports one of its route targets')]);
  });
});

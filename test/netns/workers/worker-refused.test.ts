/** The host refuses a thread of the start, at whatever stage: that ends with exit code 1 and what is short, and leaves nothing behind. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runVtepd } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';

const WITHOUT_FDS = fileURLToPath(new URL('../../support/daemon/without-fds.mjs', import.meta.url));
const FLAGS = ['--dev', 'eth0', '--vni', '100=239.1.1.1', '--workers', '2', '--log-format', 'json'];

describeSystem('a start whose thread the host refuses', () => {
  const lab = useLab({ hosts: 1 });
  const host = lab.host(1);

  test.each([
    ['the event loop of the thread', 2],
    ['the event loop of the second thread', 6],
    ['the modules that it loads', 12],
  ])('of fds, for %s', async (_stage, left) => {
    const env = { NODE_OPTIONS: `--import ${WITHOUT_FDS}`, FDS_LEFT: `${left}` };
    const { code, stdout, stderr } = await runVtepd(host, FLAGS, { env });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^vtepd: (data-plane thread|API): .*open files/m),
    });
    expect(stdout).not.toMatch(/worker-not-revived|"died"|worker-died/);
    expect(host.link('vxlan100')).toBeUndefined();
  });
});

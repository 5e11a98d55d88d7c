/** What systemd says of the units as they are written, and that the template is the unit of one instance. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { command } from '../support/host/namespaces.ts';
import { describeSystem } from '../support/lab/lab.ts';

const FOLDER = fileURLToPath(new URL('../../systemd', import.meta.url));
const MAX_EXPOSURE = 2.5;

/** Where the template says something else. */
const OF_AN_INSTANCE = [
  ['VXLAN tunnel endpoint (RFC', 'VXLAN tunnel endpoint %i (RFC'],
  ['/etc/vtepd/vtepd.yaml', '/etc/vtepd/%i.yaml'],
  ['-/etc/default/vtepd', '-/etc/default/vtepd-%i'],
  ['env vtepd ', 'env vtepd --socket /run/vtepd-%i/vtepd.sock --state-dir /var/lib/vtepd-%i '],
  ['env vtepd --withdraw ', 'env vtepd --socket /run/vtepd-%i/vtepd.sock --state-dir /var/lib/vtepd-%i --withdraw '],
  ['env vtepctl ', 'env vtepctl --socket /run/vtepd-%i/vtepd.sock '],
  ['RuntimeDirectory=vtepd', 'RuntimeDirectory=vtepd-%i'],
  ['StateDirectory=vtepd', 'StateDirectory=vtepd-%i'],
] as const;

describeSystem('the units', () => {
  test.each(['vtepd.service', 'vtepd@.service'])('%s: systemd finds nothing wrong, and little exposed', (unit) => {
    const path = join(FOLDER, unit);
    // Complaints of units that are already on this machine are not ours.
    const complaints = command('sh', ['-c', 'systemd-analyze verify "$1" 2>&1', 'sh', path]);
    expect(complaints.split('\n').filter((line) => line.includes('vtepd'))).toEqual([]);
    const security = command('systemd-analyze', ['security', '--offline=true', path]);
    const [, exposure] = /Overall exposure level for \S+: ([\d.]+)/.exec(security) ?? [];
    expect(Number(exposure)).toBeLessThanOrEqual(MAX_EXPOSURE);
  });

  test('the template is the unit, but for what instances must not share', () => {
    const template = OF_AN_INSTANCE.reduce((text, [one, many]) => text.replace(one, many), settings('vtepd.service'));
    expect(settings('vtepd@.service')).toBe(template);
  });
});

/** Without comments. */
function settings(unit: string): string {
  return readFileSync(join(FOLDER, unit), 'utf8').replace(/^#.*\n/gm, '');
}

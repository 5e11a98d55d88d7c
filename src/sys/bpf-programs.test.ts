import { expect, it } from 'vitest';
import { controlGroupPath } from './bpf-programs.ts';

const mount = (root: string, at: string) =>
  `24 30 0:22 / /proc rw shared:1 - proc proc rw\n29 24 0:26 ${root} ${at} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n`;

it.each([
  ['0::/system.slice/vtepd.service\n', mount('/', '/sys/fs/cgroup'), '/sys/fs/cgroup/system.slice/vtepd.service'],
  ['9:name=systemd:/a\n0::/\n', mount('/', '/sys/fs/cgroup/unified'), '/sys/fs/cgroup/unified/'],
  ['0::/docker/1/inner\n', mount('/docker/1', '/sys/fs/cgroup'), '/sys/fs/cgroup/inner'],
  ['0::/elsewhere\n', mount('/docker/1', '/sys/fs/cgroup'), undefined],
  ['9:name=systemd:/a\n', mount('/', '/sys/fs/cgroup'), undefined],
  ['0::/\n', '', undefined],
])('the control group of %j is at %s: %s', (groups, mounts, path) => {
  expect(controlGroupPath(groups, mounts)).toBe(path);
});

import { expect, it } from 'vitest';
import { formatVniEntry, parseVniEntry } from './vni-entry.ts';
import { mergeVni } from './vni-merge.ts';

const parse = (entry: string) => parseVniEntry(entry, { object: 'test', maxMacs: 65_536 });

const [A, B, C] = [
  'static=02:00:00:00:00:0a@10.0.0.1',
  'static=02:00:00:00:00:0b@10.0.0.1',
  'static=02:00:00:00:00:0c@local',
];

it.each([
  // running, file before, file after, what it becomes
  ['1', '1', '1=239.1.1.1,name=red', '1=239.1.1.1,name=red'],
  ['1=239.1.1.9', '1=239.1.1.1', '1=239.1.1.1,name=red', '1=239.1.1.9,name=red'],
  ['1=239.1.1.1,name=red', '1=239.1.1.1,name=red', '1', '1'],
  ['1,remote=10.0.0.1,remote=10.0.0.7', '1,remote=10.0.0.1', '1,remote=10.0.0.2', '1,remote=10.0.0.7,remote=10.0.0.2'],
  ['1,remote=10.0.0.7', '1,remote=10.0.0.7', '1,remote=10.0.0.7,remote=10.0.0.8', '1,remote=10.0.0.7,remote=10.0.0.8'],
  // Deleted live, and the file says nothing new of remotes.
  ['1', '1,remote=10.0.0.1', '1,remote=10.0.0.1,name=red', '1,name=red'],
  [`1,${A},${B}`, `1,${A}`, `1,${C}`, `1,${C},${B}`],
  [`1,${A},${B}`, `1,${A}`, `1,${A},name=red`, `1,name=red,${A},${B}`],
])('%s, of a file that said %s and says %s, becomes %s', (running, before, after, merged) => {
  const config = mergeVni(parse(running), parse(before), parse(after));
  expect(formatVniEntry(config, { maxMacs: 65_536 })).toBe(merged);
  expect(Object.isFrozen(config)).toBe(true);
});

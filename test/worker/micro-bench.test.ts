/** `npm run bench:micro` is run by hand and reaches into the data path: a change there must not leave it behind. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROWS = JSON.stringify(new URL('../../bench/micro-rows.mjs', import.meta.url));
const CHOSEN = [
  'send ladder, 64 octets',
  'receive ladder, 64 octets, of 8 VTEPs in turn',
  'merge of 45 × 1,398 octets of TCP',
];

it('has figures of both ladders and of the merging', () => {
  const script = `
    const { ROWS } = await import(${ROWS});
    const chosen = ROWS.filter(({ name }) => ${JSON.stringify(CHOSEN)}.includes(name));
    console.log(JSON.stringify(chosen.map(({ samples }) => Math.min(...samples()))));`;
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd, encoding: 'utf8' });
  const figures = JSON.parse(output) as number[];
  expect(figures.map((each) => each > 0)).toEqual(CHOSEN.map(() => true));
});

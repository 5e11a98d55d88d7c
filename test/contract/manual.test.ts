/** The man pages as built: they name what there is with its default, nothing else, and two formatters find no fault. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { COMMON_FLAGS, usageOf } from '../../src/cli/terminal/vtepctl-command.ts';
import { COMMANDS } from '../../src/cli/vtepctl.ts';
import { FILE_KEYS, VNI_KEYS } from '../../src/config/config-file.ts';
import { ENTRY_KEYS, FLAGS } from '../../src/config/flags.ts';

const MAN = fileURLToPath(new URL('../../dist/man/', import.meta.url));
const PAGES = ['vtepd.8', 'vtepctl.8', 'vtepd.yaml.5'] as const;

/** As a reader sees it, each run of space one blank. */
function shown(page: string): string {
  return rendered(page).replace(/\s+/g, ' ');
}

function rendered(page: string, columns = 200): string {
  const text = execFileSync('mandoc', ['-Tutf8', `-Owidth=${columns}`, MAN + page], { encoding: 'utf8' });
  // Bold and underlined letters are struck over.
  return text.replace(/.[\b]/gu, '');
}

/** What stands before the texts of the lists, each on a line of its own or at the start of one. */
function terms(page: string, form: RegExp): string[] {
  return [...rendered(page).matchAll(form)].map(([, term = '']) => term);
}

const distinct = (names: readonly string[]) => [...new Set(names)].sort();

describe.each(PAGES)('%s', (page) => {
  it('is without fault to mandoc', () => {
    const { status, stdout, stderr } = spawnSync('mandoc', ['-Tlint', '-Wwarning', MAN + page], { encoding: 'utf8' });
    expect([stdout + stderr, status]).toEqual(['', 0]);
  });

  it('is without fault to groff', () => {
    const { status, stderr } = spawnSync('groff', ['-mandoc', '-Tutf8', '-ww', '-z', MAN + page], { encoding: 'utf8' });
    expect([stderr, status]).toEqual(['', 0]);
  });

  it('has examples that can be pasted from a terminal of 80 columns', () => {
    const examples = [...readFileSync(MAN + page, 'utf8').matchAll(/^\.Dl (.*)$/gm)].map(([, text = '']) => text);
    const narrow = rendered(page, 78);
    expect(examples.filter((example) => !narrow.includes(example))).toEqual([]);
  });

  it('is found by npm', () => {
    const { man } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      man: string[];
    };
    expect(man).toContain(`dist/man/${page}`);
  });
});

describe('vtepd.8', () => {
  it('lists the flags and no others', () => {
    const listed = terms('vtepd.8', /^ {5}--([a-z-]+)(?= |$)/gm);
    expect(distinct(listed)).toEqual(distinct(FLAGS.map(({ name }) => name)));
  });

  it.each(FLAGS)('says what --$name is', (flag) => {
    const text = 'standard' in flag ? `${flag.meaning} Default ${flag.standard}.` : flag.meaning;
    expect(shown('vtepd.8')).toContain(` ${`--${flag.name} ${flag.value}`.trim()} ${text} `);
  });

  it('lists the keys of --vni and no others', () => {
    expect(terms('vtepd.8', /^ {5}([a-z0-9-]+)=/gm)).toEqual(ENTRY_KEYS.map(({ name }) => name));
  });

  it.each(ENTRY_KEYS)('says what $name= is', ({ name, value, meaning }) => {
    expect(shown('vtepd.8')).toContain(` ${name}=${value} ${meaning} `);
  });

  it('has the exit codes of --help', () => {
    expect(terms('vtepd.8', /^ {5}(\d+) /gm)).toEqual(['0', '1', '2', '64']);
  });
});

describe('vtepctl.8', () => {
  it('lists the commands and no others', () => {
    const groups = distinct(COMMANDS.map(({ words }) => words.split(' ')[0] ?? '')).join('|');
    const listed = terms('vtepctl.8', new RegExp(`^ {5}((?:${groups})(?: .*?)?)(?: {2,}.*)?$`, 'gm'));
    // A short term has its text beside it.
    expect(listed.map((term) => term.split('  ')[0])).toEqual(
      COMMANDS.map((command) => usageOf(command).replace('usage: vtepctl ', '')),
    );
  });

  it('lists every flag of a command and no others', () => {
    const all = COMMANDS.flatMap(({ flags }) => Object.keys(flags));
    const listed = terms('vtepctl.8', /^ {5,}--?([a-z-]+)(?= |$)/gm);
    expect(distinct(listed)).toEqual(distinct([...Object.keys(COMMON_FLAGS), ...all, 'help', 'version']));
  });

  it('has the exit codes', () => {
    expect(terms('vtepctl.8', /^ {5}(\d+) /gm)).toEqual(['0', '1', '2', '64']);
  });
});

describe('vtepd.yaml.5', () => {
  it('lists the keys of the file and of a segment, and no others', () => {
    const listed = terms('vtepd.yaml.5', /^ {5}([a-z0-9-]+):(?= )/gm);
    expect(distinct(listed)).toEqual(distinct([...FILE_KEYS, ...VNI_KEYS]));
  });
});

it('the prose names no flag that there is not', () => {
  const known = ['vni', 'help', 'version', ...FLAGS.map(({ name }) => name), ...Object.keys(COMMON_FLAGS)];
  const own = COMMANDS.flatMap(({ flags }) => Object.keys(flags));
  for (const page of PAGES) {
    const written = [...shown(page).matchAll(/(?<![\w-])--([a-z][a-z-]*)/g)].map(([, name = '']) => name);
    expect(written.filter((name) => ![...known, ...own].includes(name))).toEqual([]);
  }
});

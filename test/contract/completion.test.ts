/** The completion as built, in real shells: what is offered behind a line that is typed. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryDaemon, sampleState } from '../../src/api/memory-daemon.ts';
import { type ControlServer, openControlSocket } from '../../src/api/server/server.ts';
import { nextWords } from '../../src/cli/terminal/vtepctl-command.ts';
import { COMMANDS } from '../../src/cli/vtepctl.ts';
import { FLAGS } from '../../src/config/flags.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDER = join(ROOT, 'dist/completion');
const folder = mkdtempSync(join(tmpdir(), 'vtepd-completion-'));
const socket = join(folder, 'v.sock');
const env = { ...process.env, PATH: `${join(ROOT, 'bin')}${delimiter}${process.env.PATH}`, HOME: folder, TERM: 'dumb' };
let server: ControlServer;

beforeAll(async () => {
  server = await openControlSocket(socket, new MemoryDaemon(sampleState()));
  for (const program of ['vtepd', 'vtepctl']) symlinkSync(join(FOLDER, `_${program}`), join(folder, `_${program}`));
});

afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/** A line, of which the last word is still being typed. */
type Offers = (line: string) => Promise<string[]>;

const bash: Offers = async (line) => {
  const words = line.split(/ |(=)/).filter((word) => word !== undefined);
  const program = words[0] ?? '';
  const script = `source "${FOLDER}/${program}.bash"
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
    _${program} ${program} '${words.at(-1)}' '${words.at(-2)}'; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return lines((await run('bash', ['--norc', '-c', script], { env, cwd: folder })).stdout);
};

const fish: Offers = async (line) => {
  const program = line.split(' ')[0];
  const script = `source ${FOLDER}/${program}.fish; complete -C '${line}'`;
  const { stdout } = await run('fish', ['--no-config', '-c', script], { env, cwd: folder });
  return lines(stdout).map((offer) => offer.split('\t')[0] ?? '');
};

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

const SEGMENTS = sampleState().vnis.map(({ vni }) => `${vni}`);

describe.each<[string, Offers]>([
  ['bash', bash],
  ['fish', fish],
])('%s', (_, offers) => {
  it('offers every flag of vtepd', async () => {
    expect(new Set(await offers('vtepd --'))).toEqual(new Set(FLAGS.map(({ name }) => `--${name}`)));
  });

  it('offers every command of vtepctl', async () => {
    expect(new Set(commandsOf(await offers('vtepctl ')))).toEqual(new Set(nextWords('', COMMANDS)));
    expect(new Set(commandsOf(await offers('vtepctl --json fdb ')))).toEqual(new Set(nextWords('fdb', COMMANDS)));
  });

  it.each([
    ['vtepd --dev eth0 --df ', ['set', 'unset', 'inherit']],
    ['vtepd --offload g', ['gro', 'gso']],
    ['vtepd --tos ', ['inherit']],
    ['vtepd --dev l', ['lo']],
    ['vtepctl fdb show --st', ['--static']],
    ['vtepctl fdb add 02:00:00:00:00:01 --vt', ['--vtep']],
    ['vtepctl fdb show --vtep lo', ['local']],
    ['vtepctl log-level de', ['debug']],
    ['vtepctl doctor --st', []],
    ['vtepctl --socket SOCKET vni show ', SEGMENTS],
    ['vtepctl --socket SOCKET drops --vni ', SEGMENTS],
  ])('offers for %j: %j', async (line, expected) => {
    expect(commandsOf(await offers(line.replace('SOCKET', socket)), line).sort()).toEqual([...expected].sort());
  });
});

/** Flags stand beside commands in some shells, and need not. */
function commandsOf(offers: readonly string[], line = ''): string[] {
  return offers.filter((offer) => / -[^ ]*$/.test(line) || !offer.startsWith('-'));
}

describe('zsh', () => {
  // A terminal, because completion is part of the line editor: what is typed with a tab in it, and what was run then.
  const typed = (keys: string) => {
    const script = `
      zmodload zsh/zpty; zpty shell zsh -f -i
      read_until() { local part text=; while zpty -r shell part; do text+=$part; [[ $text == *$1* ]] && break; done; print -r -- $text }
      zpty -w shell 'PS1=; unsetopt beep zle_bracketed_paste; fpath=(${folder} $fpath); autoload -Uz compinit; compinit -u -D; for p in vtepd vtepctl; do eval "$p() { print -r -- RAN:\\$*:END }"; done; print READY$((1))'
      read_until READY1 >/dev/null
      zpty -w -n shell $'${keys}'
      read_until ':END'`;
    const text = execFileSync('zsh', ['-f', '-c', script], { env, cwd: folder, encoding: 'utf8', timeout: 30_000 });
    return /RAN:(.*?) *:END/.exec(text)?.[1];
  };

  it.each([
    ['vtepd --source-port-r\\t\\n', '--source-port-range'],
    ['vtepctl dro\\t--v\\t\\n', 'drops --vni'],
    ['vtepctl log-level deb\\t\\n', 'log-level debug'],
  ])('makes of %j: %j', (keys, line) => {
    expect(typed(keys)).toBe(line);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENTRY_KEYS, FLAGS } from '../config/flags.ts';
import { refuse } from '../config/keys/written-value.ts';
import { VtepError } from '../lib/errors.ts';
import { parseVtepdArguments } from './vtepd-flags.ts';

const FILES: Readonly<Record<string, string>> = {
  '/a.yaml': 'dev: eth0\nttl: 9\nlocal: [10.0.0.1]\nvnis:\n  - {vni: 100, group: 239.1.1.1, mtu: 1400}\n  - vni: 200\n',
};

/** Takes FILES for the file system. */
const sourceOf = (text: (path: string) => string) => ({
  read: async (path: string) => text(path),
  reread: async (path: string) => text(path),
});

const read = (argv: readonly string[]) =>
  parseVtepdArguments(
    argv,
    sourceOf((path) => FILES[path] ?? refuse(`--config ${path}`, 'it cannot be read')),
  );

const V = ['--vni', '100'];
const NO_FLAG = 'it belongs to no flag: write --flag VALUE, and --vni again for each segment';
const UNKNOWN = 'unknown flag: vtepd --help lists the flags';

describe('accepted command lines', () => {
  it.each<[argv: string[], differs: object]>([
    [['--vni', '7', '--vni=8=239.1.1.1'], { vnis: [{ vni: 7 }, { vni: 8, group: '239.1.1.1' }] }],
    [['--ttl', '9', ...V, '--port=5'], { ttl: 9, port: 5 }],
    [[...V, '--querier'], { querier: true, check: false }],
    [[...V, '--persist'], { persist: true, querier: false }],
    [[...V, '--check'], { querier: false, check: true }],
    [[...V, '--check', '--check'], { check: true }],
    [[...V, '--'], { check: false }],
    [[...V, '--dev=--ttl'], { dev: '--ttl' }],
    [[...V, '--dev', '-'], { dev: '-' }],
    [[...V, '--dev', '007'], { dev: '007' }],
    [[...V, '--dev', '1e3'], { dev: '1e3' }],
    [['--vni', '100,name="a b"'], { vnis: [{ name: '"a b"' }] }],
  ])('%j', async (argv, differs) => {
    expect(await read(argv)).toMatchObject({ kind: 'run', config: differs });
  });

  it('every scalar flag reaches the configuration', async () => {
    const argv =
      '--vni 1 --dev eth0 --local 10.0.0.1 --port 8472 --ttl 2 --mcast-ttl 3 --tos 0x4 --df unset --ageing 5 --max-macs 6 ' +
      '--source-ports 7 --source-port-range 50000-50006 --allow-vtep 10.0.0.0/8 --reserved-bits drop --workers 8 --offload gro --state-dir /d ' +
      '--socket /s --log-level debug --log-format json --check';
    expect(await read(argv.split(' '))).toMatchObject({
      kind: 'run',
      config: {
        vnis: [{ vni: 1, maxMacs: 6 }],
        dev: 'eth0',
        local: ['10.0.0.1'],
        port: 8472,
        ttl: 2,
        mcastTtl: 3,
        tos: 4,
        df: 'unset',
        ageingSeconds: 5,
        maxMacs: 6,
        sourcePorts: 7,
        sourcePortRange: { first: 50_000, last: 50_006 },
        allowedVteps: [{ address: '10.0.0.0', bits: 8 }],
        reservedBits: 'drop',
        workers: 8,
        offload: 'gro',
        stateDir: '/d',
        socketPath: '/s',
        logLevel: 'debug',
        logFormat: 'json',
        check: true,
      },
    });
  });
});

describe('refusals', () => {
  it.each<[argv: string[], message: string]>([
    [[], '--vni: no segment is given: give at least one, like --vni 100=239.1.1.1, or a --config'],
    [['--'], '--vni: no segment is given: give at least one, like --vni 100=239.1.1.1, or a --config'],
    [['--vni'], '--vni: its value is missing: write --vni VNI[=GROUP][,key=value]…'],
    [['--vni='], '--vni: its value is missing: write --vni VNI[=GROUP][,key=value]…'],
    [['--vni', ''], '--vni: its value is empty: give one, or leave out --vni'],
    [['--vni', '--', '1'], '--vni: its value is missing: write --vni VNI[=GROUP][,key=value]…'],
    [['--vni', '100', '200'], `200: ${NO_FLAG}`],
    [['--vni', '-1'], '--vni -1: VNI -1 is not a whole number from 0 to 16777215'],
    [['--vni.x'], `--vni.x: ${UNKNOWN}`],
    [['--vni.x=3'], `--vni.x: ${UNKNOWN}`],
    [['--vni', '100=10.1.1.1'], '--vni 100=10.1.1.1: 10.1.1.1 is not a multicast address (224.0.0.0/4 or ff00::/8)'],
    [[...V, '--ttl'], '--ttl: its value is missing: write --ttl N'],
    [['--ttl', ...V], '--ttl: its value is missing: write --ttl N'],
    [[...V, '--ttl='], '--ttl: its value is empty: give one, or leave out --ttl'],
    [[...V, '--ttl', ''], '--ttl: its value is empty: give one, or leave out --ttl'],
    [[...V, '--ttl', 'abc'], '--ttl abc: abc is not a whole number from 1 to 255'],
    [[...V, '--ttl=1=2'], '--ttl 1=2: 1=2 is not a whole number from 1 to 255'],
    [[...V, '--ttl', '"5"'], '--ttl "5": "5" is not a whole number from 1 to 255'],
    [[...V, '--ttl', '1', '--ttl', '2'], '--ttl 2: --ttl is given twice, first as --ttl 1: give it once'],
    [[...V, '--ttl', '1', '--ttl='], '--ttl "": --ttl is given twice, first as --ttl 1: give it once'],
    [[...V, '--port', '-1'], '--port -1: -1 is not a whole number from 1 to 65535'],
    [[...V, '--port=-1'], '--port -1: -1 is not a whole number from 1 to 65535'],
    [[...V, '--dev', '--ttl', '5'], '--dev: its value is missing: write --dev IFACE'],
    [[...V, '--dev', '--foo'], `--foo: ${UNKNOWN}`],
    [[...V, '--dev', '-x'], `-x: ${UNKNOWN}`],
    [[...V, '--workers', '0'], '--workers 0: 0 is not a whole number from 1 to 16'],
    [[...V, '--workers'], '--workers: its value is missing: write --workers N'],
    [[...V, '--offload'], '--offload: its value is missing: write --offload auto|off|gso|gro'],
    [[...V, '--offload', 'tso'], '--offload tso: tso is not one of auto, off, gso, gro: did you mean gso?'],
    [[...V, '--check=false'], '--check: it takes no value: write --check alone'],
    [[...V, '--check', 'false'], `false: ${NO_FLAG}`],
    [[...V, '--check\n'], '"--check\\n": unknown flag: did you mean --check?'],
    [['--help=1'], '--help: it takes no value: write --help alone'],
    [['--help', '--bogus'], `--bogus: ${UNKNOWN}`],
    [[...V, '--no-ttl'], `--no-ttl: ${UNKNOWN}`],
    [[...V, '--no-check'], `--no-check: ${UNKNOWN}`],
    [[...V, '-x'], `-x: ${UNKNOWN}`],
    [[...V, '-h'], `-h: ${UNKNOWN}`],
    [[...V, '-ttl', '3'], '-ttl: unknown flag: did you mean --ttl?'],
    [[...V, '--Ttl', '3'], '--Ttl: unknown flag: did you mean --ttl?'],
    [[...V, '--maxMacs', '3'], '--maxMacs: unknown flag: did you mean --max-macs?'],
    [[...V, '--prot=3'], '--prot: unknown flag: did you mean --port?'],
    [[...V, '--$0', 'x'], `--$0: ${UNKNOWN}`],
    [[...V, '--_', 'x'], `--_: ${UNKNOWN}`],
    [[...V, '--__proto__', 'x'], `--__proto__: ${UNKNOWN}`],
    [[...V, '--=5'], `--: ${UNKNOWN}`],
    [['100=239.1.1.1'], `100=239.1.1.1: ${NO_FLAG}`],
    [[...V, '-'], `-: ${NO_FLAG}`],
    [[...V, '-5'], `-5: ${NO_FLAG}`],
    [[...V, ''], `"": ${NO_FLAG}`],
    [[...V, '--', '--ttl', '3'], `--ttl: ${NO_FLAG}`],
    [[...V, '--', '03'], `03: ${NO_FLAG}`],
  ])('%j', async (argv, message) => {
    await expect(read(argv)).rejects.toThrow(expect.objectContaining({ code: 'ERR_VTEP_USAGE', message }));
  });

  it('random arguments are an invocation or a refusal of one line', async () => {
    const flags = FLAGS.map(({ name }) => `--${name}`);
    const tokens = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.constantFrom(...flags, ...flags.map((flag) => `${flag}=`), '100', '-1', '--', '-', '\n', 'eth0', '--ttl=5'),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(tokens, { maxLength: 6 }), async (argv) => {
        try {
          expect((await read(argv)).kind).toMatch(/^(run|help|version)$/);
        } catch (error) {
          expect(error).toBeInstanceOf(VtepError);
          expect(error).toMatchObject({ exitCode: 64 });
          expect((error as VtepError).message).toMatch(/^[^\r\n]+$/);
          expect((error as VtepError).message).not.toMatch(/^command line/);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('--config', () => {
  it.each<[argv: string[], differs: object]>([
    [[], { dev: 'eth0', ttl: 9, local: ['10.0.0.1'], vnis: [{ vni: 100, mtuBytes: 1400 }, { vni: 200 }] }],
    [['--ttl', '7', '--local', '10.0.0.2'], { dev: 'eth0', ttl: 7, local: ['10.0.0.2'] }],
    // An entry is replaced as a whole: its MTU is not the file's.
    [['--vni', '100=239.1.1.9'], { vnis: [{ vni: 200 }, { vni: 100, group: '239.1.1.9', mtuBytes: undefined }] }],
    [['--vni', '300'], { vnis: [{ vni: 100 }, { vni: 200 }, { vni: 300 }] }],
    [['--check'], { check: true }],
  ])('and %j', async (argv, differs) => {
    expect(await read(['--config', '/a.yaml', ...argv])).toMatchObject({ kind: 'run', config: differs });
  });

  it('is read again as it is by then, under the same flags', async () => {
    const texts = ['ttl: 1\nvnis: []', 'ttl: 2\nport: 5\nvnis: [{vni: 7}]', 'ttl: 256'];
    const source = sourceOf(() => texts.shift() as string);
    const invocation = await parseVtepdArguments(['--config', '/f', '--port', '6'], source);
    if (invocation.kind !== 'run') expect.fail();
    expect(invocation.config).toMatchObject({ ttl: 1, port: 6, vnis: [] });
    expect(await invocation.reread?.()).toMatchObject({ ttl: 2, port: 6, vnis: [{ vni: 7 }] });
    await expect(invocation.reread?.()).rejects.toThrow('/f:1:6: ttl: 256 is not a whole number from 1 to 255');
  });

  it('that cannot be read is refused, also by --check', async () => {
    await expect(read(['--check', '--config', '/b.yaml'])).rejects.toThrow('--config /b.yaml: it cannot be read');
  });
});

describe('--help and --version', () => {
  it('need no segment, and --help wins', async () => {
    expect(await read(['--version'])).toEqual({ kind: 'version' });
    expect(await read(['--version', '--help', '--ttl', 'abc'])).toMatchObject({ kind: 'help' });
  });

  it('help names every flag and key with its default, in 80 columns', async () => {
    const invocation = await read(['--help']);
    const text = invocation.kind === 'help' ? invocation.text : '';
    for (const flag of FLAGS) {
      expect(text).toContain(`\n  --${`${flag.name} ${flag.value}`.trim()}\n`);
      if ('standard' in flag) expect(text.replace(/\s+/g, ' ')).toContain(`Default ${flag.standard}.`);
    }
    for (const key of ENTRY_KEYS) expect(text).toContain(`\n  ${key.name}=${key.value}\n`);
    expect(text).toMatch(/[^\n]\n$/);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });
});

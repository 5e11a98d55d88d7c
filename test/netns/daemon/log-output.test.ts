/**
 * A daemon whose log cannot be written: it goes on, and says afterwards how many lines were lost.
 *
 *     vxlan100 ── host 1  198.18.0.1
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runVtepd, startVtepd, type VtepdProcess } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { waitFor, waitUntil } from '../../support/wait.ts';

const FLAGS = ['--dev', 'eth0', '--vni', '100=239.1.1.1', '--log-format', 'json'];

/** `exec` with the daemon's words, its standard output somewhere else. */
const writingTo = (redirection: string) => ['sh', '-c', `exec "$0" "$@" ${redirection}`];

async function logLines(daemon: VtepdProcess, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await daemon.ctl('log-level', 'info');
}

/** So many lines that the pipe and the backlog, of 64 KB and MAX_LOG_BACKLOG_BYTES, do not hold them. */
async function fillBacklog(daemon: VtepdProcess): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const body = JSON.stringify({ level: 'info' });
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  const logLine = () =>
    new Promise<void>((resolve, reject) => {
      const options = { socketPath: daemon.socket, method: 'POST', path: '/v1/log-level', agent, headers };
      const call = request(options, (answer) => answer.resume().once('end', resolve));
      call.once('error', reject).end(body);
    });
  await waitUntil(
    'lost lines',
    async () => {
      await Promise.all(Array.from({ length: 500 }, logLine));
      return (await lostLines(daemon)) > 100;
    },
    { timeoutMs: 40_000 },
  );
  agent.destroy();
}

function eventsIn(file: string): { event: string; lines?: number }[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

/** A file system in a file, which answers until it is frozen. */
class Disk implements Disposable {
  readonly directory: string;

  constructor(folder: string) {
    const image = join(folder, 'disk.img');
    this.directory = join(folder, 'frozen');
    writeFileSync(image, '');
    truncateSync(image, 16_777_216);
    execFileSync('mkfs.ext4', ['-q', image]);
    mkdirSync(this.directory);
    execFileSync('mount', ['-o', 'loop', image, this.directory]);
  }

  freeze(): void {
    execFileSync('fsfreeze', ['-f', this.directory]);
  }

  /** Does nothing if it is not frozen. */
  thaw(): void {
    spawnSync('fsfreeze', ['-u', this.directory]);
  }

  [Symbol.dispose](): void {
    this.thaw();
    execFileSync('umount', ['-l', this.directory]);
  }
}

/** Whether all but threads that wait in the kernel has ended. */
function isZombie(pid: number): boolean {
  return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

async function lostLines(daemon: VtepdProcess): Promise<number> {
  return Number(/^vtep_log_lines_lost_total (\d+)$/m.exec(await daemon.getText('/metrics'))?.[1]);
}

async function expectGoodEnd(daemon: VtepdProcess): Promise<void> {
  const { code, ms } = await daemon.stop();
  expect(code).toBe(0);
  expect(ms).toBeLessThan(2_000);
  expect(existsSync(daemon.socket)).toBe(false);
}

describeSystem('a log that cannot be written', () => {
  const lab = useLab({ hosts: 1 });
  test('since its disk is full: nothing fails, and when there is room it says how many lines are lost', async () => {
    const directory = join(lab.folder, 'disk');
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', directory]);
    lab.scope.defer(() => void execFileSync('umount', ['-l', directory]));
    const file = join(directory, 'log');
    const daemon = await startVtepd(lab.host(1), FLAGS, { wrapper: writingTo(`>> ${file}`) });
    writeFileSync(join(directory, 'ballast'), Buffer.alloc(4_096));
    await logLines(daemon, 60);
    expect(await lostLines(daemon)).toBeGreaterThan(5);
    // Outside of a request likewise.
    lab.host(1).ip('link', 'set', 'eth0', 'down');
    await waitUntil('it sees the interface', async () => (await daemon.getText('/v1/vnis')).includes('eth0 is down'));
    lab.host(1).ip('link', 'set', 'eth0', 'up');
    truncateSync(file);
    await logLines(daemon, 2);
    await waitUntil('it tells', () => eventsIn(file).some(({ event }) => event === 'log-lines-lost'));
    expect(eventsIn(file).find(({ event }) => event === 'log-lines-lost')?.lines).toBeGreaterThan(5);
    await logLines(daemon, 60);
    await waitUntil('the disk is full', () => statSync(file).size === 4_096);
    await expectGoodEnd(daemon);
    rmSync(join(directory, 'ballast'));
  });

  test('since its disk does not answer: nothing waits for it, lines come in order afterwards, and SIGTERM ends it', async () => {
    const disk = new Disk(lab.folder);
    lab.scope.defer(() => disk[Symbol.dispose]());
    const file = join(disk.directory, 'log');
    const daemon = await startVtepd(lab.host(1), FLAGS, { wrapper: writingTo(`>> ${file} 2>&1`) });
    disk.freeze();
    for (const level of ['debug', 'info', 'warn', 'info']) await daemon.ctl('log-level', level);
    expect((await daemon.get<{ pid: number }>('/v1/status')).pid).toBe(daemon.pid);
    disk.thaw();
    const levels = () => [...readFileSync(file, 'utf8').matchAll(/"level":"(\w+)"/g)].map(([, level]) => level);
    // One at `warn` is not logged at that level.
    await waitFor('the lines', levels, (seen) => seen.length === 3);
    expect(levels()).toEqual(['debug', 'info', 'info']);
    expect(await lostLines(daemon)).toBe(0);

    disk.freeze();
    await daemon.ctl('log-level', 'debug');
    const startMs = performance.now();
    const stopping = daemon.stop();
    await waitUntil('its end', () => isZombie(daemon.pid), { timeoutMs: 5_000 });
    expect(performance.now() - startMs).toBeLessThan(2_000);
    expect(existsSync(daemon.socket)).toBe(false);
    expect(lab.host(1).ip('link', 'show')).not.toContain('vxlan100');
    disk.thaw();
    expect((await stopping).code).toBe(0);
  });

  test('has the refusal of a start complete, in a file and in a pipe, behind all that was logged', async () => {
    const file = join(lab.folder, 'refused');
    const flags = [...FLAGS, '--log-level', 'debug'];
    const taken = await startVtepd(lab.host(1), FLAGS, { socket: join(lab.folder, 'taken.sock') });
    for (const redirection of ['', `> ${file} 2>&1`]) {
      const wrapper = writingTo(redirection);
      const { code, stderr } = await runVtepd(lab.host(1), flags, { wrapper });
      expect(code).toBe(1);
      const text = redirection ? readFileSync(file, 'utf8') : stderr;
      expect(text).toMatch(/^vtepd: .*4789.*\n$/m);
    }
    await expectGoodEnd(taken);
  });

  test('since nobody reads the pipe: it never waits, loses what there is no room for, and tells', async () => {
    const fifo = join(lab.folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    // Opens the pipe and does not read from it until it is told to.
    const reader = spawn('sh', ['-c', `exec < ${fifo}; read line <&3; exec cat`], {
      stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    });
    lab.scope.defer(() => void reader.kill('SIGKILL'));
    let text = '';
    reader.stdout?.setEncoding('utf8').on('data', (part: string) => (text += part));
    const daemon = await startVtepd(lab.host(1), FLAGS, { wrapper: writingTo(`> ${fifo}`) });
    await fillBacklog(daemon);
    expect(JSON.parse(await daemon.getText('/v1/status')).pid).toBe(daemon.pid);
    const lost = await lostLines(daemon);
    (reader.stdio[3] as unknown as NodeJS.WritableStream).write('now\n');
    /** In all that it said of them: while it was filling up, some found room again. */
    const told = () => {
      const events = text.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
      const losses = events.map((line) => JSON.parse(line)).filter(({ event }) => event === 'log-lines-lost');
      return losses.reduce((sum, { lines }) => sum + lines, 0);
    };
    await waitFor(
      'how many are lost, with the lines that waited',
      async () => [told(), await lostLines(daemon)],
      ([said, counted]) => said === counted,
    );
    expect(told()).toBeGreaterThanOrEqual(lost);
    await expectGoodEnd(daemon);
  });

  test('and nobody reads until the end: SIGTERM ends it all the same', async () => {
    const fifo = join(lab.folder, 'unread');
    execFileSync('mkfifo', [fifo]);
    const reader = spawn('sh', ['-c', `exec sleep 1000 < ${fifo}`]);
    lab.scope.defer(() => void reader.kill('SIGKILL'));
    const daemon = await startVtepd(lab.host(1), FLAGS, { wrapper: writingTo(`> ${fifo}`) });
    await fillBacklog(daemon);
    await expectGoodEnd(daemon);
  });

  test('since the reader of its pipe is gone, or standard output was closed', async () => {
    for (const redirection of ['| true', '>&-']) {
      const wrapper = ['bash', '-c', redirection === '>&-' ? 'exec "$0" "$@" >&-' : 'exec "$0" "$@" > >(true)'];
      const daemon = await startVtepd(lab.host(1), FLAGS, { wrapper });
      await logLines(daemon, 3);
      await waitFor(
        'lost lines',
        () => lostLines(daemon),
        (lost) => lost > 0 || redirection === '>&-',
      );
      await expectGoodEnd(daemon);
    }
  });
});

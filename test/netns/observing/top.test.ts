/**
 * `vtepctl top` of a real daemon in a real terminal, a pty that `script` makes.
 *
 *     vxlan100 ── host 1: vtepd ───┐  VNI 100, unicast
 *                 host 2           ┴  crafted datagrams from 198.18.0.2, some of a VNI that host 1 does not have
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { startVtepd, VTEPCTL } from '../../support/daemon/vtepd-process.ts';
import { describeSystem, useLab } from '../../support/lab/lab.ts';
import { BROADCAST, probe, vxlan } from '../../support/traffic/frames.ts';
import { waitFor, waitUntil } from '../../support/wait.ts';

const PATIENCE = { timeoutMs: 20_000, everyMs: 50 };

class TopInTerminal {
  readonly ended: Promise<void>;
  readonly #script: ChildProcess;
  #text = '';

  /** What comes after the command shows how it left the terminal. */
  constructor(socket: string) {
    const command = `'${process.execPath}' '${VTEPCTL}' --socket '${socket}' top -d 0.2; echo "code $?"; stty -a`;
    this.#script = spawn('script', ['-q', '-e', '-c', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NO_COLOR: '1', LC_ALL: 'C', TERM: 'xterm' },
    });
    this.#script.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
    });
    this.ended = new Promise((resolve) => this.#script.once('close', () => resolve()));
  }

  /** All that was written to the terminal. */
  get text(): string {
    return this.#text;
  }

  /** The screen drawn last, line by line. */
  get screen(): string[] {
    return stripVTControlCharacters(this.#text.split('\x1b[H').at(-1) ?? '').split(/\r+\n/);
  }

  /** What was written when the usual buffer, its cursor and its long lines were back. */
  get afterwards(): string {
    return this.#text.split('\x1b[?7h\x1b[?25h\x1b[?1049l')[1] ?? '';
  }

  type(letter: string): void {
    this.#script.stdin?.write(letter);
  }

  kill(signal: NodeJS.Signals): void {
    const [shell = 0] = childrenOf(this.#script.pid ?? 0);
    const [vtepctl = 0] = childrenOf(shell);
    process.kill(vtepctl, signal);
  }

  async end(): Promise<void> {
    this.#script.stdin?.end();
    this.#script.kill('SIGKILL');
    await this.ended;
  }
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}

describeSystem('top', () => {
  const lab = useLab({ hosts: 2 });
  const [one, two] = [lab.host(1), lab.host(2)];
  const args = ['--dev', 'eth0', '--vni', '100,name=red,remote=198.18.0.2', '--vni', '200'];

  async function start() {
    const daemon = await startVtepd(one, args);
    const top = new TopInTerminal(daemon.socket);
    lab.scope.defer(() => top.end());
    const row = (start: string) => top.screen.find((line) => line.startsWith(start)) ?? '';
    await waitUntil('the first screen', () => top.screen[0]?.startsWith('vtepd ') === true, PATIENCE);
    return { daemon, top, row };
  }

  test('shows what flows and what is dropped, a daemon that ends and the next one, and gives back the terminal at q', async () => {
    const { daemon, top, row } = await start();
    const socket = two.udpSocket({ address: two.address });
    const inner = probe({ dst: BROADCAST, src: '02:00:00:00:01:01', text: 'here' });
    const traffic = setInterval(() => {
      for (const vni of [100, 100, 300]) socket.send(vxlan({ vni, inner }), { to: one.address });
    }, 10);
    try {
      const flows = /^100 {2}red +\d+ +\d+(\.\d+)?k +0 +0 +0 +[_.:=+*#-]+$/;
      await waitFor(
        'VNI 100 to flow',
        () => row('100 '),
        (line) => flows.test(line),
        PATIENCE,
      );
      expect(row('198.18.0.2 ')).toMatch(/^198\.18\.0\.2 +\d+ +\d/);
      await waitFor(
        'drops',
        () => row('rx unknown-vni'),
        (line) => /^rx unknown-vni +[1-9]\d* +\d+$/.test(line),
        PATIENCE,
      );
      expect(row('200 ')).toMatch(/^200 {2}- +0 +0 +0 +0 +0 +_+$/);

      await daemon.stop();
      await waitUntil('the end to be seen', () => top.screen[0] === 'vtepd does not answer, asking again', PATIENCE);
      await startVtepd(one, args, { socket: daemon.socket });
      await waitFor(
        'VNI 100 to flow again',
        () => row('100 '),
        (line) => /^100 {2}red +\d+ /.test(line),
        PATIENCE,
      );
      expect(top.text).not.toMatch(/ -\d/);
    } finally {
      clearInterval(traffic);
    }
    top.type('q');
    await top.ended;
    expect(top.afterwards).toMatch(/^code 0\r\n.* icanon .* echo /s);
  });

  test('gives back the terminal at SIGTERM', async () => {
    const { top } = await start();
    top.kill('SIGTERM');
    await top.ended;
    expect(top.afterwards).toMatch(/^code 0\r\n.* icanon .* echo /s);
  });
});

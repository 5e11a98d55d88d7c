/** `vtepctl doctor`: faults of the daemon or its host, and the command that corrects each. */

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { ControlClient } from '../../api/client/client.ts';
import type { Finding } from '../../api/schemas.ts';
import { VXLAN } from '../../encap/vxlan.ts';
import { VtepError } from '../../lib/errors.ts';
import { cellText, type Style } from '../terminal/table.ts';
import type { Command } from '../terminal/vtepctl-command.ts';

/** The port of a daemon that is started without `--port` (RFC 7348 §5). */
const DEFAULT_PORT = VXLAN.port;

const doctor: Command<void, Finding[]> = {
  words: 'doctor',
  summary: 'Check the daemon and its host; below each fault is the command that corrects it',
  flags: {},
  parse: () => undefined,
  call: async (client) => {
    try {
      return await client.doctor();
    } catch (error) {
      if (!(error instanceof VtepError) || error.code !== 'ERR_VTEP_UNREACHABLE') throw error;
      // Loaded only here: the other commands need no system call, and start faster.
      const [{ examineHost }, { hasSystemd }] = await Promise.all([
        import('../../doctor/host-doctor.ts'),
        import('../../sys/privileges.ts'),
      ]);
      return [await daemonFinding(client, error, hasSystemd()), ...(await examineHost(DEFAULT_PORT))];
    }
  },
  render: renderFindings,
  exitCode: (findings) => (findings.some(({ status }) => status === 'failed') ? 1 : 0),
};

export const DOCTOR_COMMANDS: readonly Command[] = [doctor];

/** A daemon that was not started is not a fault. One that does not answer is a fault. */
async function daemonFinding(
  { socketPath }: ControlClient,
  { message }: VtepError,
  hasSystemd: boolean,
): Promise<Finding> {
  const finding = {
    check: 'daemon',
    object: socketPath,
    message: `${message.slice(message.indexOf(': ') + 2)}; host checks only`,
  };
  const reaching = (mode: number) =>
    access(socketPath, mode).then(
      () => undefined,
      ({ code }: NodeJS.ErrnoException) => code,
    );
  if ((await reaching(constants.F_OK)) === 'ENOENT')
    return { ...finding, status: 'warning', remedy: hasSystemd ? 'systemctl start vtepd' : null };
  if ((await reaching(constants.W_OK)) !== undefined)
    return { ...finding, status: 'unknown', remedy: 'sudo vtepctl doctor' };
  return { ...finding, status: 'failed', remedy: hasSystemd ? 'systemctl restart vtepd' : null };
}

/** One line each, its remedy below it by itself, so that it can be copied as a line. */
export function renderFindings(findings: readonly Finding[], style: Style): string {
  const marks = {
    ok: style.good('ok  '),
    warning: style.doubtful('warn'),
    failed: style.bad('FAIL'),
    unknown: style.doubtful('?   '),
  };
  const width = (texts: readonly string[]) => texts.reduce((widest, text) => Math.max(widest, text.length), 0);
  const checks = width(findings.map(({ check }) => check));
  const objects = width(findings.map(({ object }) => cellText(object)));
  return findings
    .flatMap(({ check, status, object, message, remedy }) => [
      `${marks[status]}  ${check.padEnd(checks)}  ${cellText(object).padEnd(objects)}  ${cellText(message)}\n`,
      ...(remedy === null ? [] : [`      ${cellText(remedy)}\n`]),
    ])
    .join('');
}

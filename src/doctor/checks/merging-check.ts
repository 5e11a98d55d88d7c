import type { Finding, Status } from '../../api/schemas.ts';
import { CUT_APART_SECONDS } from '../../lib/limits.ts';
import { someOf, warning } from './finding.ts';

/** Whether sockets receive without UDP_GRO at present; a finding only if they do. */
export function checkMerging({ sockets, vteps }: Status['unmerged']): Finding[] {
  if (sockets === 0) return [];
  const from = vteps.length > 0 ? `, the last from ${someOf(vteps)}` : '';
  const count = sockets === 1 ? '1 socket receives' : `${sockets} sockets receive`;
  const message =
    `${count} more slowly, without UDP_GRO: datagrams of several VNIs arrived in one message${from}; ` +
    `no remedy is needed, it ends ${CUT_APART_SECONDS} s after the last such message`;
  return [warning('merging', 'UDP_GRO', message)];
}

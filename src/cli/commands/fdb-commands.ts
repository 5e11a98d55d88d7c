/** `vtepctl fdb …`: the forwarding database. */

import type { EntryKey, FdbFilter, StaticFdbEntry } from '../../api/daemon-view.ts';
import type { DaemonEvent, FdbEntry, Flushed } from '../../api/schemas.ts';
import { type Style, table } from '../terminal/table.ts';
import {
  type AnyCommand,
  type Arguments,
  type Command,
  type Flag,
  type FollowingCommand,
  readMac,
  readVni,
  readVtep,
  required,
  requiredOperand,
  usageError,
} from '../terminal/vtepctl-command.ts';

const VNI: Flag = { describe: 'only this VNI', value: 'N' };
const MAC: Flag = { describe: 'only this MAC address', value: 'M' };
const VTEP: Flag = { describe: 'only entries behind this VTEP', value: 'IP|local' };
const OWN_VNI: Flag = { describe: 'the VNI of the entry', value: 'N', required: true };
const OWN_MAC = { label: 'MAC', describe: 'the MAC address of the entry' };

const fdbShow: Command<FdbFilter, FdbEntry[]> = {
  words: 'fdb show',
  summary: 'Show the forwarding database',
  flags: {
    vni: VNI,
    mac: MAC,
    vtep: VTEP,
    static: { describe: 'only static entries' },
    dynamic: { describe: 'only learned entries' },
    evpn: { describe: 'only entries that EVPN placed' },
  },
  parse: (args) => ({ ...readFilter(args), ...readType(args) }),
  call: (client, filter) => client.fdbEntries(filter),
  render: renderFdb,
};

const fdbAdd: Command<StaticFdbEntry, StaticFdbEntry> = {
  words: 'fdb add',
  summary: 'Add a static entry',
  operand: OWN_MAC,
  flags: { vni: OWN_VNI, vtep: { describe: 'the VTEP that the MAC is behind', value: 'IP|local', required: true } },
  parse: (args) => ({ ...readKey(args), vtep: readVtep('--vtep', required(args, 'vtep')) }),
  call: async (client, entry) => {
    await client.addStatic(entry);
    return entry;
  },
  render: () => '',
};

const fdbDel: Command<EntryKey, EntryKey> = {
  words: 'fdb del',
  summary: 'Delete one entry, learned or static',
  operand: OWN_MAC,
  flags: { vni: OWN_VNI },
  parse: readKey,
  call: async (client, key) => {
    await client.deleteEntry(key);
    return key;
  },
  render: () => '',
};

const fdbFlush: Command<Omit<FdbFilter, 'type'> & { all: boolean }, Flushed> = {
  words: 'fdb flush',
  summary: 'Delete all learned entries that match all filters',
  flags: { vni: VNI, vtep: VTEP, mac: MAC, all: { describe: 'delete static entries too' } },
  parse: (args) => ({ ...readFilter(args), all: args.switches.has('all') }),
  call: (client, filter) => client.flush(filter),
  render: ({ removed }) => `${removed} ${removed === 1 ? 'entry' : 'entries'} removed\n`,
};

const fdbMonitor: FollowingCommand<void, DaemonEvent> = {
  words: 'fdb monitor',
  summary: 'Print each change of the forwarding database and of the status of a VNI, until interrupted',
  flags: {},
  parse: () => {},
  follow: (client, _request, signal) => client.events(signal),
  renderItem: renderEvent,
};

export const FDB_COMMANDS: readonly AnyCommand[] = [fdbShow, fdbAdd, fdbDel, fdbFlush, fdbMonitor];

/** A line of `fdb monitor`: `2026-01-02T03:04:05.600Z move    100  02:00:00:00:00:01  198.18.0.3  dynamic  from 198.18.0.2`. */
function renderEvent(told: DaemonEvent): string {
  const { time, event, vni, from } = told;
  const start = `${time} ${event.padEnd(6)}`;
  if (event === 'status') return [start, vni, told.status, ...(from === null ? [] : [`from ${from}`])].join('  ');
  const { mac, vtep, type, count } = told;
  if (event === 'lost') return `${start}  ${count} ${count === 1 ? 'event' : 'events'}: read the table again`;
  return [start, vni, mac, vtep, type, ...(from === null ? [] : [`from ${from}`])].join('  ');
}

/** The table of `fdb show`, which scripts may rely on. */
export function renderFdb(entries: readonly FdbEntry[], style: Style): string {
  return table(
    ['VNI', 'MAC', 'VTEP', 'TYPE', 'AGE', 'MOVES'],
    entries.map(({ vni, mac, vtep, type, age, moves, unsent }) => [
      vni,
      mac,
      vtep,
      unsent ? `${type}(unsent)` : type,
      age === null ? null : `${age}s`,
      moves,
    ]),
    style,
  );
}

function readFilter({ values: { vni, mac, vtep } }: Arguments): Omit<FdbFilter, 'type'> {
  return {
    ...(vni !== undefined && { vni: readVni('--vni', vni) }),
    ...(mac !== undefined && { mac: readMac('--mac', mac) }),
    ...(vtep !== undefined && { vtep: readVtep('--vtep', vtep) }),
  };
}

function readType({ switches }: Arguments): Pick<FdbFilter, 'type'> {
  const [type, other] = (['static', 'dynamic', 'evpn'] as const).filter((each) => switches.has(each));
  if (other) throw usageError(`--${type}`, `excludes --${other}`, 'give one of them, or none for all types');
  return type ? { type } : {};
}

function readKey(args: Arguments): EntryKey {
  const mac = readMac('MAC', requiredOperand(args, 'MAC'));
  return { vni: readVni('--vni', required(args, 'vni')), mac };
}

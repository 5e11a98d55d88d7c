/** One segment as written, parsed but not validated: from the flag `--vni` and `vtepctl vni add`, or from a file. */
import { MAX_VNI } from '../lib/limits.ts';
import { ENTRY_KEYS, type EntryKeyName } from './flags.ts';
import { suggestion } from './keys/nearest-name.ts';
import { keyValue, refuse, shown, type WrittenValue } from './keys/written-value.ts';

export interface WrittenVni {
  /** The object of an error about the whole entry: `--vni 100=239.1.1.1`, or the place in a file. */
  readonly object: string;
  readonly vni: WrittenValue;
  readonly group: WrittenValue | undefined;
  /** A key that is not repeatable has one value. */
  readonly keys: ReadonlyMap<EntryKeyName, readonly WrittenValue[]>;
}

export const KEY_NAMES = ENTRY_KEYS.map((key): string => key.name);

/** Takes `VNI[=GROUP][,key=value]…` apart. @throws VtepError ERR_VTEP_USAGE that names `object` */
export function splitVniEntry(text: string, object: string): WrittenVni {
  const [head = '', ...items] = text.split(',');
  return { object, ...splitHead(head, object), keys: collectKeys(items, object) };
}

/** `VNI` or `VNI=GROUP`. */
function splitHead(head: string, object: string): Pick<WrittenVni, 'vni' | 'group'> {
  const equals = head.indexOf('=');
  const number = equals < 0 ? head : head.slice(0, equals);
  if (number === '') refuse(object, 'the VNI is missing', `begin with a number from 0 to ${MAX_VNI}`);
  const vni = { object, label: `VNI ${shown(number)}`, text: number };
  if (equals < 0) return { vni, group: undefined };
  const group = head.slice(equals + 1);
  if (group === '')
    refuse(object, `no group follows ${shown(number)}=`, 'give a multicast address, or leave out the =');
  return { vni, group: { object, label: shown(group), text: group } };
}

function collectKeys(items: readonly string[], object: string): WrittenVni['keys'] {
  const keys = new Map<EntryKeyName, WrittenValue[]>();
  for (const item of items) {
    const equals = item.indexOf('=');
    const name = equals < 0 ? item : item.slice(0, equals);
    const key = ENTRY_KEYS.find((candidate) => candidate.name === name);
    if (key === undefined) refuseUnknownKey(item, name, object);
    if (equals < 0) refuse(object, `${name} has no value`, `write ${name}=${key.value}`);
    const written = keyValue(name, item.slice(equals + 1), object);
    const others = keys.get(key.name);
    if (others === undefined) keys.set(key.name, [written]);
    else if (key.repeatable) others.push(written);
    else refuse(object, `${name}= is given twice`, 'give it once');
  }
  return keys;
}

function refuseUnknownKey(item: string, name: string, object: string): never {
  if (item === '') refuse(object, 'nothing follows a comma', 'leave out the comma, or give key=value');
  if (!item.includes('=') && /[.:]/.test(item)) {
    refuse(object, `${shown(item)} is not key=value`, 'a group is written VNI=GROUP, a unicast VTEP remote=IP');
  }
  refuse(object, `unknown key ${shown(name)}`, suggestion(name, KEY_NAMES, `the keys are ${KEY_NAMES.join(', ')}`));
}

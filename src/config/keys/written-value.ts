/** A value as the user wrote it, with its name for errors; and the error itself. */
import { VtepError } from '../../lib/errors.ts';

/** Text that is still to be parsed. Never empty. */
export interface WrittenValue {
  /** The object of an error: the flag or entry as written, e.g. `--vni 100,mtu=9`. */
  readonly object: string;
  /** The value in the cause: `mtu=9`, or `abc` if the object is `--ttl abc`. */
  readonly label: string;
  readonly text: string;
}

/** Longer texts are cut in messages: an entry with a thousand remotes is still one line that can be read. */
const SHOWN_CHARACTERS = 200;

/** @throws VtepError ERR_VTEP_USAGE, always */
export function refuse(object: string, cause: string, remedy?: string): never {
  throw new VtepError('ERR_VTEP_USAGE', { object, cause, remedy });
}

/** The text for a message: shortened if long, quoted if it begins or ends with a space. */
export function shown(text: string): string {
  const cut = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
  return cut === '' || /^\s|\s$/.test(cut) ? `"${cut}"` : cut;
}

/** A flag with its value, as the object of an error: `--ttl 300`. */
export function flagObject(name: string, text: string): string {
  return `--${name} ${shown(text)}`;
}

/** The value of a flag. @throws VtepError ERR_VTEP_USAGE if it is empty */
export function flagValue(name: string, text: string): WrittenValue {
  if (text === '') refuse(`--${name}`, 'its value is empty', `give one, or leave out --${name}`);
  return { object: flagObject(name, text), label: shown(text), text };
}

/** The value of a `key=value` inside `object`. @throws VtepError ERR_VTEP_USAGE if it is empty */
export function keyValue(key: string, text: string, object: string): WrittenValue {
  if (text === '') refuse(object, `${key}= has no value`, `give one, or leave out ${key}=`);
  return { object, label: shown(`${key}=${text}`), text };
}

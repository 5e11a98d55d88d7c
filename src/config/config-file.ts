/** `--config FILE`: YAML whose keys are the flags without their dashes, and `vnis`, the list of segments. Pure: the text comes in. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import {
  ENTRY_KEYS,
  type EntryKeyName,
  FILE_SWITCHES,
  type FileSwitchName,
  FLAGS,
  type ScalarFlagName,
} from './flags.ts';
import { suggestion } from './keys/nearest-name.ts';
import { refuse, shown, type WrittenValue } from './keys/written-value.ts';
import type { WrittenConfig } from './written-config.ts';
import { KEY_NAMES, type WrittenVni } from './written-vni.ts';

const SCALAR_NAMES: readonly string[] = FLAGS.filter(({ name, kind }) => kind === 'scalar' && name !== 'config').map(
  ({ name }) => name,
);
export const FILE_KEYS = [...SCALAR_NAMES, ...FILE_SWITCHES, 'local', 'allow-vtep', 'vnis'];
/** The keys of a segment: those of `--vni`, and VNI and group. */
export const VNI_KEYS = ['vni', 'group', ...KEY_NAMES];

type Node = ParsedNode | null;

/** @param path of the file, for errors  @throws VtepError ERR_VTEP_USAGE, `PATH:LINE:COLUMN: …` */
export function readConfigFile(text: string, path: string): WrittenConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${path}:${line}:${col}`;
  };
  const [fault] = [...document.errors, ...document.warnings];
  if (fault !== undefined) refuse(place(fault.pos[0]), `not valid YAML: ${faultText(fault, text)}`);
  const { contents } = document;
  // A file with comments only.
  if (contents === null) return { vnis: [], local: undefined, allowVtep: undefined, scalars: {}, switches: {} };
  if (!isMap(contents)) refuse(place(contents.range[0]), 'not keys with values', 'write it like `dev: eth0`');
  return new FileReader(place).read(contents as YAMLMap<ParsedNode, Node>);
}

/** Finds the values in the document, and the name of each for errors. */
class FileReader {
  readonly #place: (offset: number) => string;

  constructor(place: (offset: number) => string) {
    this.#place = place;
  }

  read(root: YAMLMap<ParsedNode, Node>): WrittenConfig {
    const scalars: Partial<Record<ScalarFlagName, WrittenValue>> = {};
    const lists: Record<string, WrittenValue[]> = {};
    const switches: Partial<Record<FileSwitchName, WrittenValue>> = {};
    let vnis: WrittenVni[] = [];
    for (const { name, at, value } of this.#keys(root, '', FILE_KEYS)) {
      if (name === 'vnis') vnis = this.#elements(value, 'vnis', at).map((node, i) => this.#vni(node, `vnis[${i}]`, at));
      else if (isFileSwitch(name)) switches[name] = this.#value(value, name, at);
      else if (SCALAR_NAMES.includes(name)) scalars[name as ScalarFlagName] = this.#value(value, name, at);
      else lists[name] = this.#values(value, name, at);
    }
    return { vnis, local: lists.local, allowVtep: lists['allow-vtep'], scalars, switches };
  }

  #vni(node: Node, path: string, parentAt: number): WrittenVni {
    const at = node?.range[0] ?? parentAt;
    const object = `${this.#place(at)}: ${path}`;
    if (!isMap(node)) refuse(object, 'not a segment', 'write `- vni: 100`, with its keys below vni');
    const keys = new Map<EntryKeyName, WrittenValue[]>();
    let [vni, group]: (WrittenValue | undefined)[] = [];
    for (const { name, at: keyAt, value } of this.#keys(node as YAMLMap<ParsedNode, Node>, `${path}.`, VNI_KEYS)) {
      const key = ENTRY_KEYS.find((candidate) => candidate.name === name);
      const keyPath = `${path}.${name}`;
      if (name === 'vni') vni = this.#value(value, keyPath, keyAt);
      else if (name === 'group') group = this.#value(value, keyPath, keyAt);
      else if (key?.repeatable) keys.set(key.name, this.#values(value, keyPath, keyAt));
      else if (key) keys.set(key.name, [this.#value(value, keyPath, keyAt)]);
    }
    if (vni === undefined) refuse(object, 'it has no vni', 'give it one, like `vni: 100`');
    return { object, vni, group, keys };
  }

  *#keys(map: YAMLMap<ParsedNode, Node>, path: string, known: readonly string[]) {
    for (const { key, value } of map.items) {
      const at = key.range[0];
      const name = isScalar(key) ? String(key.value) : '';
      if (!known.includes(name)) {
        const remedy = suggestion(name, known, `the keys are ${known.join(', ')}`);
        refuse(`${this.#place(at)}: ${path}${shown(name)}`, 'unknown key', remedy);
      }
      yield { name, at, value };
    }
  }

  /** A single value counts as a list of one. */
  #values(node: Node, path: string, at: number): WrittenValue[] {
    if (!isSeq(node)) return [this.#value(node, path, at)];
    return this.#elements(node, path, at).map((element, i) => this.#value(element, `${path}[${i}]`, at));
  }

  #elements(node: Node, path: string, at: number): Node[] {
    if (isSeq(node)) return node.items as Node[];
    if (node === null || (isScalar(node) && node.value === null)) return [];
    refuse(`${this.#place(node?.range[0] ?? at)}: ${path}`, 'not a list', 'begin each element with `- `, or write []');
  }

  #value(node: Node, path: string, at: number): WrittenValue {
    const object = `${this.#place(node?.range[0] ?? at)}: ${path}`;
    if (isAlias(node)) refuse(object, 'aliases are not allowed', 'write the value out');
    if (!isScalar(node)) refuse(object, 'a single value is needed', 'write it after the colon');
    const text = scalarText(node.value, node.source ?? '');
    if (text === '') refuse(object, 'it has no value', 'give one, or leave out the key');
    const written = typeof node.value === 'boolean' ? (node.source ?? text) : text;
    return { object, label: shown(written), text };
  }
}

/** The text of the library, except where it is meant for programmers or does not name the key. */
function faultText({ code, message, pos }: YAMLError, text: string): string {
  if (code === 'MULTIPLE_DOCS') return 'a second document begins: leave out the `---`';
  const [key] = /^[\w-]{1,40}/.exec(text.slice(pos[0], pos[0] + 40)) ?? [];
  if (code === 'DUPLICATE_KEY' && key) return `the key ${key} is given twice: remove one`;
  return message;
}

function isFileSwitch(name: string): name is FileSwitchName {
  return FILE_SWITCHES.some((known) => known === name);
}

/** A value as a flag would have it: the written text, whatever its YAML type is. */
function scalarText(value: unknown, source: string): string {
  if (value === null) return '';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return typeof value === 'string' ? value : source;
}

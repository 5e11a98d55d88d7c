/** All that was written, by flags or in a file, before anything of it is judged. */
import type { FileSwitchName, ScalarFlagName } from './flags.ts';
import { flagValue, type WrittenValue } from './keys/written-value.ts';
import { splitVniEntry, type WrittenVni } from './written-vni.ts';

/** What was not written is not there; a list that was written empty is. */
export interface WrittenConfig {
  readonly vnis: readonly WrittenVni[];
  readonly local: readonly WrittenValue[] | undefined;
  readonly allowVtep: readonly WrittenValue[] | undefined;
  readonly scalars: Readonly<Partial<Record<ScalarFlagName, WrittenValue>>>;
  /** `on` or `off`. */
  readonly switches: Readonly<Partial<Record<FileSwitchName, WrittenValue>>>;
}

/** The values of the flags as they were written; a flag that was not given is not there. */
export interface RawFlags {
  readonly vni: readonly string[];
  readonly local: readonly string[];
  readonly allowVtep?: readonly string[];
  readonly scalars: Readonly<Partial<Record<ScalarFlagName, string>>>;
  readonly switches?: readonly FileSwitchName[];
  readonly check: boolean;
}

/** @throws VtepError ERR_VTEP_USAGE for an empty value, and an entry that is no entry */
export function writtenFlags({ vni, local, allowVtep = [], scalars, switches = [] }: RawFlags): WrittenConfig {
  const list = (name: string, texts: readonly string[]) =>
    texts.length === 0 ? undefined : texts.map((text) => flagValue(name, text));
  const entries = Object.entries(scalars).map(([name, text]) => [name, flagValue(name, text)]);
  return {
    vnis: vni.map((text) => splitVniEntry(text, flagValue('vni', text).object)),
    local: list('local', local),
    allowVtep: list('allow-vtep', allowVtep),
    scalars: Object.fromEntries(entries),
    switches: Object.fromEntries(
      switches.map((name) => [name, { object: `--${name}`, label: `--${name}`, text: 'on' }]),
    ),
  };
}

/**
 * What flags and file say together: a flag replaces the file's key or list, and `--vni N` the file's whole entry N. VNIs come in the order
 * of the file; those that only flags have stand behind.
 */
export function overlay(file: WrittenConfig, flags: WrittenConfig): WrittenConfig {
  const replaced = new Set(flags.vnis.map(({ vni }) => vni.text));
  return {
    vnis: [...file.vnis.filter(({ vni }) => !replaced.has(vni.text)), ...flags.vnis],
    local: flags.local ?? file.local,
    allowVtep: flags.allowVtep ?? file.allowVtep,
    scalars: { ...file.scalars, ...flags.scalars },
    switches: { ...file.switches, ...flags.switches },
  };
}

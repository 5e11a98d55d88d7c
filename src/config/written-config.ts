/** The raw input from flags or a file, before validation. */
import type { FileSwitchName, ScalarFlagName } from './flags.ts';
import { flagValue, type WrittenValue } from './keys/written-value.ts';
import { splitVniEntry, type WrittenVni } from './written-vni.ts';

/** Keys that were not written are absent. An empty list is present. */
export interface WrittenConfig {
  readonly vnis: readonly WrittenVni[];
  readonly local: readonly WrittenValue[] | undefined;
  readonly allowVtep: readonly WrittenValue[] | undefined;
  readonly scalars: Readonly<Partial<Record<ScalarFlagName, WrittenValue>>>;
  /** `on` or `off`. */
  readonly switches: Readonly<Partial<Record<FileSwitchName, WrittenValue>>>;
}

/** The values of the flags as written. Flags that were not given are absent. */
export interface RawFlags {
  readonly vni: readonly string[];
  readonly local: readonly string[];
  readonly allowVtep?: readonly string[];
  readonly scalars: Readonly<Partial<Record<ScalarFlagName, string>>>;
  readonly switches?: readonly FileSwitchName[];
  readonly check: boolean;
}

/** @throws VtepError ERR_VTEP_USAGE for an empty value, and for a malformed entry */
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
 * Merges flags and file: a flag replaces the file's key or list, and `--vni N` the file's whole entry N. VNIs come in the order
 * of the file; those from flags only follow.
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

/**
 * The man pages: prose from `man/*.in`, and what `--help` says too from the tables it is made of, so that it stands once.
 * The build writes them.
 */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * @param tables what the compiled sources export, see build.mjs
 * @returns text by name of the page, e.g. `vtepd.8`
 */
export function manualPages({ flags, entryKeys, fileKeys, commands, commonFlags, usageOf, socket, maxVni, version }) {
  const fileFlags = flags.filter(({ name }) => fileKeys.includes(name));
  const parts = {
    VERSION: version,
    SOCKET: socket,
    MAX_VNI: `${maxVni}`,
    FLAGS: flags.map((flag) => item(flagTerm(flag), withDefault(flag))).join('\n'),
    VNI_KEYS: entryKeys
      .map(({ name, value, meaning }) => item(`Cm ${name}= Ns Ar ${argument(value)}`, meaning))
      .join('\n'),
    FILE_KEYS: fileFlags.map((flag) => item(`Cm ${flag.name} : ${keyValue(flag)}`, withDefault(flag))).join('\n'),
    SEGMENT_KEYS: entryKeys.map((key) => item(`Cm ${key.name} : ${keyValue(key)}`, key.meaning)).join('\n'),
    COMMON_FLAGS: commandFlags(commonFlags),
    COMMANDS: commands.map((command) => commandItem(command, usageOf(command))).join('\n'),
  };
  const pages = readdirSync('man').filter((name) => name.endsWith('.in'));
  return Object.fromEntries(
    pages.map((name) => {
      const text = readFileSync(`man/${name}`, 'utf8');
      return [name.replace(/\.in$/, ''), text.replace(/@([A-Z_]+)@/g, (_, part) => parts[part] ?? unknown(name, part))];
    }),
  );
}

function flagTerm({ name, value }) {
  const dashed = name.length === 1 ? name : `\\-${name}`;
  return value === '' ? `Fl ${dashed}` : `Fl ${dashed} Ar ${argument(value)}`;
}

/** A switch has a value in a file, and what may be repeated is a list there. */
function keyValue({ kind, repeatable, value }) {
  if (kind === 'switch') return 'Cm on|off';
  return kind === 'list' || repeatable ? `Ar ${argument(`[${value}, …]`)}` : `Ar ${argument(value)}`;
}

function withDefault({ meaning, standard }) {
  return standard === undefined ? meaning : `${meaning} Default ${standard}.`;
}

function commandItem({ summary, operand, flags }, usage) {
  const form = usage.replace('usage: vtepctl ', '');
  const details = Object.keys(flags).length === 0 ? '' : `\n.Bl -tag -width Ds\n${commandFlags(flags)}\n.El`;
  const what = operand && sentence(`${operand.form ?? operand.label}: ${operand.describe}`);
  return item(`Cm ${argument(form)}`, `${summary}.${what ? ` ${what}` : ''}`) + details;
}

function commandFlags(flags) {
  return Object.entries(flags)
    .map(([name, { describe, value = '', short }]) => {
      const terms = [name, ...(short ? [short] : [])].map((each) => flagTerm({ name: each, value }));
      return item(terms.join(' , '), sentence(describe));
    })
    .join('\n');
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Each sentence on a line of its own, as roff wants it. */
function item(term, text) {
  const lines = escaped(text).replace(/\. (?=\S)/g, '.\n');
  return `.It ${term}\n${lines.replace(/^[.']/gm, '\\&$&')}`;
}

function argument(text) {
  return `"${escaped(text).replaceAll('"', '\\(dq')}"`;
}

function escaped(text) {
  return text
    .replaceAll('\\', '\\e')
    .replace(/[^\n -~]/gu, (letter) => `\\[u${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}]`);
}

function unknown(page, part) {
  throw new Error(`man/${page}: @${part}@ is no part of the manual`);
}

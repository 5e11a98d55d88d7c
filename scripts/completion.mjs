/**
 * Shell completion, made of the tables that the programs parse by. Each shell gets the same: flags, commands, the words that a
 * value can be, files, interfaces, and for vtepctl the VNIs that the daemon has. The build writes it.
 */

/**
 * @param tables as for manualPages
 * @returns text by name of the file
 */
export function completionFiles({ flags, commands, commonFlags, dashed, logLevels }) {
  const option = ([name, { value = '', describe }]) => ({
    name: dashed(name),
    describe,
    takes: takes(value, logLevels),
  });
  const vtepd = flags.map(({ name, value, meaning }) => option([name, { value, describe: firstSentence(meaning) }]));
  const help = [option(['help', { describe: 'print the usage' }])];
  const common = [...Object.entries(commonFlags).map(option), ...help];
  const vtepctl = commands.map(({ words, summary, operand, flags: own }) => ({
    words,
    summary,
    options: [
      ...Object.entries(own)
        .flatMap(bothNames)
        .map((entry) => vniOption(option(entry))),
      ...common,
    ],
    operand: operandTakes(operand, logLevels),
  }));
  const level = { common, commands: vtepctl, groups: groupsOf(vtepctl), valued: valuedOptions(vtepctl) };
  return {
    'vtepd.bash': bashOfVtepd(vtepd),
    'vtepctl.bash': bashOfVtepctl(level),
    _vtepd: zshOfVtepd(vtepd),
    _vtepctl: zshOfVtepctl(level),
    'vtepd.fish': fishOfVtepd(vtepd),
    'vtepctl.fish': fishOfVtepctl(level),
  };
}

/** What a value may be, from what stands for it in the help: null for a switch. */
function takes(value, logLevels) {
  if (value === '') return null;
  if (/^(FILE|PATH|DIR)/.test(value)) return { kind: 'files' };
  if (value === 'IFACE') return { kind: 'interfaces' };
  if (value === 'LEVEL') return { kind: 'words', words: [...logLevels] };
  return { kind: 'words', words: value.split('|').filter((word) => /^[a-z][a-z-]*$/.test(word)) };
}

/** A flag and its letter are completed alike. */
function bothNames([name, flag]) {
  return [name, ...(flag.short ? [flag.short] : [])].map((each) => [each, flag]);
}

function vniOption(option) {
  return option.name === '--vni' ? { ...option, takes: { kind: 'vnis' } } : option;
}

function operandTakes(operand, logLevels) {
  if (operand === undefined) return null;
  return operand.label === 'N' ? { kind: 'vnis' } : takes(operand.label, logLevels);
}

/** `fdb` with what may follow it, and '' with the first words. */
function groupsOf(commands) {
  const groups = new Map([['', new Map()]]);
  for (const { words, summary } of commands) {
    const [first, second] = words.split(' ');
    groups.get('').set(first, second === undefined ? summary : '');
    if (second === undefined) continue;
    if (!groups.has(first)) groups.set(first, new Map());
    groups.get(first).set(second, summary);
  }
  for (const [first, inside] of groups) if (first !== '') groups.get('').set(first, [...inside.keys()].join(', '));
  return groups;
}

/** The options with a value, each once. One name means the same in every command; where some offer fewer words, the most are offered. */
function valuedOptions(commands) {
  const options = commands.flatMap((command) => command.options).filter((option) => option.takes !== null);
  const fewestFirst = options.toSorted((a, b) => (a.takes.words?.length ?? 0) - (b.takes.words?.length ?? 0));
  return [...new Map(fewestFirst.map((option) => [option.name, option])).values()];
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const names = (options) => options.map(({ name }) => name).join(' ');
const firstSentence = (text) => text.replace(/[.:;] .*|\.$/s, '');

const COLUMN_OF_VNIS = "vni show 2>/dev/null | awk 'NR > 1 { print $1 }'";

function bashValue(value) {
  if (value === null) return ':';
  if (value.kind === 'files') return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")';
  const words = { interfaces: '"$(ls /sys/class/net)"', vnis: `"$("$1" "\${socket[@]}" ${COLUMN_OF_VNIS})"` }[
    value.kind
  ];
  if (words === undefined && value.words.length === 0) return ':';
  return `mapfile -t COMPREPLY < <(compgen -W ${words ?? quoted(value.words.join(' '))} -- "$cur")`;
}

function bashOfVtepd(options) {
  return `# bash completion for vtepd
_vtepd() {
  local cur=$2 prev=$3
  COMPREPLY=()
  [[ $prev == = ]] && prev=\${COMP_WORDS[COMP_CWORD - 2]}
  [[ $cur == = ]] && cur=
  case $prev in
${options
  .filter(({ takes }) => takes)
  .map(({ name, takes }) => `  ${name}) ${bashValue(takes)} ;;`)
  .join('\n')}
  *) mapfile -t COMPREPLY < <(compgen -W '${names(options)}' -- "$cur") ;;
  esac
}
complete -F _vtepd vtepd
`;
}

function bashOfVtepctl({ common, commands, groups, valued }) {
  const scopes = [...groups].map(([words, inside]) => {
    const all = [...inside.keys(), ...common.map(({ name }) => name)];
    return `  ${quoted(words)}) mapfile -t COMPREPLY < <(compgen -W '${all.join(' ')}' -- "$cur") ;;`;
  });
  const inside = commands.map(({ words, options, operand }) => {
    const first = `  ${quoted(words)} | ${quoted(`${words} `)}*)`;
    const flags = `mapfile -t COMPREPLY < <(compgen -W '${names(options)}' -- "$cur")`;
    const operands = bashValue(operand);
    if (operands === ':') return `${first} ${flags} ;;`;
    return `${first}
    if [[ $words == ${quoted(words)} && $cur != -* ]]; then ${operands}
    else ${flags}; fi ;;`;
  });
  return `# bash completion for vtepctl
_vtepctl() {
  local cur=$2 words='' option='' word socket=()
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == = ]] && continue
    if [[ $option ]]; then
      [[ $option == --socket ]] && socket=(--socket "$word")
      option=
      continue
    fi
    case $word in
    ${valued.map(({ name }) => name).join(' | ')}) option=$word ;;
    -*) ;;
    *) words+=\${words:+ }$word ;;
    esac
  done
  [[ $cur == = ]] && cur=
  case $option in
  '') ;;
${valued.map(({ name, takes }) => `  ${name}) ${bashValue(takes)}; return ;;`).join('\n')}
  esac
  case $words in
${[...scopes, ...inside].join('\n')}
  esac
}
complete -F _vtepctl vtepctl
`;
}

function zshValue(value) {
  if (value === null) return ':';
  if (value.kind === 'files') return '_files';
  if (value.kind === 'interfaces') return 'compadd -- /sys/class/net/*(:t)';
  if (value.kind === 'vnis') return `compadd -- \${(f)"$(vtepctl $socket ${COLUMN_OF_VNIS})"}`;
  return value.words.length === 0 ? ':' : `compadd -- ${value.words.join(' ')}`;
}

const zshList = (pairs) => pairs.map(([name, text]) => quoted(`${name}:${text}`)).join(' ');
const zshOptions = (options) => zshList(options.map(({ name, describe }) => [name, describe]));

function zshOfVtepd(options) {
  return `#compdef vtepd
local -a options
case $words[CURRENT-1] in
${options
  .filter(({ takes }) => takes)
  .map(({ name, takes }) => `(${name}) ${zshValue(takes)} ;;`)
  .join('\n')}
(*)
  options=(${zshOptions(options)})
  _describe flag options ;;
esac
`;
}

function zshOfVtepctl({ common, commands, groups, valued }) {
  const scopes = [...groups].map(
    ([words, inside]) => `(${quoted(words)})
  found=(${zshList([...inside])})
  options=(${zshOptions(common)}) ;;`,
  );
  const inside = commands.map(
    ({ words, options, operand }) => `(${quoted(words)} | ${quoted(`${words} `)}*)
  options=(${zshOptions(options)})
  [[ $typed == ${quoted(words)} && $PREFIX != -* ]] && ${zshValue(operand)} ;;`,
  );
  return `#compdef vtepctl
local typed= option= word
local -a found options socket
for word in $words[2,CURRENT-1]; do
  if [[ -n $option ]]; then
    [[ $option == --socket ]] && socket=(--socket $word)
    option=
    continue
  fi
  case $word in
  (${valued.map(({ name }) => name).join('|')}) option=$word ;;
  (-*) ;;
  (*) typed+=\${typed:+ }$word ;;
  esac
done
case $option in
('') ;;
${valued.map(({ name, takes }) => `(${name}) ${zshValue(takes)}; return ;;`).join('\n')}
esac
case $typed in
${[...scopes, ...inside].join('\n')}
esac
(( $#found )) && _describe command found
[[ $PREFIX == -* ]] && _describe flag options
`;
}

function fishQuoted(text) {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function fishValue(value) {
  if (value === null) return '';
  if (value.kind === 'files') return ' -r -F';
  const call = { interfaces: '(command ls /sys/class/net)', vnis: '(__vtepctl_vnis)' }[value.kind];
  return ` -x -a ${fishQuoted(call ?? value.words.join(' '))}`;
}

function fishOption(program, { name, describe, takes: value }, condition = '') {
  const dashes = name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`;
  return `complete -c ${program}${condition} ${dashes}${fishValue(value)} -d ${fishQuoted(describe)}`;
}

function fishOfVtepd(options) {
  return `complete -c vtepd -f\n${options.map((option) => fishOption('vtepd', option)).join('\n')}\n`;
}

function fishOfVtepctl({ common, commands, groups, valued }) {
  const words = [...groups].flatMap(([scope, inside]) =>
    [...inside].map(
      ([word, text]) =>
        `complete -c vtepctl -n ${fishQuoted(`__vtepctl_at "${scope}"`)} -a ${word} -d ${fishQuoted(text)}`,
    ),
  );
  const own = commands.flatMap(({ words: typed, options, operand }) => {
    const mine = options.filter((option) => !common.includes(option));
    const inside = ` -n ${fishQuoted(`__vtepctl_in "${typed}"`)}`;
    const first = ` -n ${fishQuoted(`__vtepctl_at "${typed}"`)}`;
    const operands = fishValue(operand).replace(' -x', '');
    return [
      ...mine.map((option) => fishOption('vtepctl', option, inside)),
      ...(operands === '' || operands === " -a ''" ? [] : [`complete -c vtepctl${first}${operands}`]),
    ];
  });
  return `function __vtepctl_words
    set -l tokens (commandline -opc)
    set -e tokens[1]
    set -l option
    set -l typed
    for token in $tokens
        if test -n "$option"
            set option
            continue
        end
        switch $token
            case ${names(valued)}
                set option $token
            case '-*'
            case '*'
                set -a typed $token
        end
    end
    echo "$typed"
end
function __vtepctl_at
    test "$argv" = (__vtepctl_words)
end
function __vtepctl_in
    string match -q -- "$argv *" (__vtepctl_words)" "
end
function __vtepctl_vnis
    set -l tokens (commandline -opc)
    set -l at (contains -i -- --socket $tokens)
    set -l socket
    test -n "$at"; and set socket --socket $tokens[(math $at + 1)]
    vtepctl $socket ${COLUMN_OF_VNIS}
end
complete -c vtepctl -f
${[...common.map((option) => fishOption('vtepctl', option)), ...words, ...own].join('\n')}
`;
}

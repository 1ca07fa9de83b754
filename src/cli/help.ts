import { EXIT, HELP, PROGRAM, type Command, type Option } from './command';

const SHARED_CODES = [
  { code: EXIT.usage, meaning: 'The command line is wrong: an unknown command or option, or a missing argument.' },
  { code: EXIT.settings, meaning: 'A setting, or the value of an option, is wrong. The message names it.' },
];

const WIDTH = 22;

/** What `--help` prints. */
export function generalHelp(commands: readonly Command[]): string {
  return text([
    `Usage: ${PROGRAM} COMMAND [options]`,
    '',
    'Keeps MQTT messages of EMQX in a database and delivers them to clients that subscribe later.',
    '',
    'Commands:',
    ...commands.map(({ name, summary }) => row(name, [summary])).flat(),
    '',
    'Options:',
    ...row('-h, --help', [`Print this help. "${PROGRAM} help COMMAND" prints the help of a command.`]),
    ...row('--version', ['Print the version.']),
    '',
    'Settings come from environment variables, or from the YAML file that CONFIG_FILE names.',
    'The README lists them.',
    '',
    'Exit codes:',
    ...[
      { code: EXIT.done, meaning: 'Done.' },
      { code: EXIT.failed, meaning: 'The command failed. The message says why.' },
      ...SHARED_CODES,
    ].flatMap(codeRow),
  ]);
}

/** What `COMMAND --help` prints. */
export function commandHelp(command: Command): string {
  const { name, usage, description, options, examples, exitCodes, settings } = command;
  const [first = '', ...others] = usage;
  return text([
    `Usage: ${PROGRAM} ${name} ${first}`.trimEnd(),
    ...others.map((other) => `       ${PROGRAM} ${name} ${other}`),
    '',
    ...description,
    '',
    'Options:',
    ...[...options, HELP].flatMap((option) => row(optionText(option), option.help)),
    '',
    'Examples:',
    ...examples.flatMap(({ command: line, effect }) => [`  ${line}`, `      ${effect}`]),
    '',
    `Settings: ${settings.join(', ')}`,
    '',
    'Exit codes:',
    ...[...exitCodes, ...SHARED_CODES].flatMap(codeRow),
  ]);
}

const text = (lines: readonly string[]): string => `${lines.join('\n')}\n`;

const codeRow = ({ code, meaning }: { readonly code: number; readonly meaning: string }): string[] => row(String(code), [meaning]);

function optionText({ name, value, multiple }: Option): string {
  const long = `--${name}${value === undefined ? '' : ` ${value}`}${multiple === true ? ' ...' : ''}`;
  return name === HELP.name ? `-h, ${long}` : long;
}

/** A name that is too long for its column has a line of its own. */
function row(name: string, help: readonly string[]): string[] {
  const indented = help.map((line) => `  ${' '.repeat(WIDTH)}${line}`);
  if (name.length > WIDTH - 2) return [`  ${name}`, ...indented];
  return [`  ${name.padEnd(WIDTH)}${help[0] ?? ''}`, ...indented.slice(1)];
}

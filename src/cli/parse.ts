import { parseArgs } from 'node:util';
import { nearest } from '../config/suggest';
import { HELP, PROGRAM, UsageError, type Command, type Given, type Option } from './command';

/** Reads the arguments after the name of a command. @returns null if the help was asked for. @throws UsageError */
export function parseCommand(command: Command, args: readonly string[]): Given | null {
  const options = [...command.options, HELP];
  const { tokens } = parseArgs({ args: [...args], options: nodeOptions(options), allowPositionals: true, strict: false, tokens: true });
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  const wrong = (problem: string): never => {
    throw new UsageError(`${problem}; see "${PROGRAM} ${command.name} --help"`);
  };
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const option = options.find(({ name }) => name === token.name);
    if (option === undefined) return wrong(unknownOption(command, token.rawName, options));
    const { value, inlineValue } = token;
    if (option.value === undefined && value !== undefined) wrong(`${token.rawName} takes no value`);
    // A value that begins with a dash is another option, unless it follows an equals sign.
    if (option.value !== undefined && (value === undefined || (inlineValue !== true && value.startsWith('-'))))
      wrong(`${token.rawName} needs a value: ${token.rawName} ${option.value}`);
    const before = values.get(option.name) ?? [];
    if (before.length > 0 && option.value !== undefined && option.multiple !== true) wrong(`${token.rawName} is given twice`);
    values.set(option.name, [...before, value ?? '']);
  }
  if (values.has(HELP.name)) return null;
  const { least, most } = command.positionals;
  if (positionals.length > most) wrong(`unexpected argument ${JSON.stringify(positionals[most])} of "${PROGRAM} ${command.name}"`);
  if (positionals.length < least) wrong(`an argument is missing: ${PROGRAM} ${command.name} ${command.usage[0] ?? ''}`.trimEnd());
  return {
    has: (name) => values.has(name),
    text: (name) => values.get(name)?.at(-1),
    texts: (name) => values.get(name) ?? [],
    positionals,
  };
}

function nodeOptions(options: readonly Option[]) {
  return Object.fromEntries(
    options.map(({ name, value }) => [
      name,
      { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple: true, ...(name === HELP.name && { short: 'h' }) },
    ]),
  );
}

function unknownOption({ name }: Command, rawName: string, options: readonly Option[]): string {
  const near = rawName.startsWith('--')
    ? nearest(
        rawName.slice(2),
        options.map((each) => each.name),
      )
    : null;
  return `unknown option ${rawName} of "${PROGRAM} ${name}"${near === null ? '' : `: did you mean --${near}?`}`;
}

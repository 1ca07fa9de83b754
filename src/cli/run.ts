import { errorText, SettingError } from '../base/errors';
import { VERSION } from '../base/version';
import { ConfigError } from '../config/load';
import { nearest } from '../config/suggest';
import { EXIT, PROGRAM, UsageError, type Command } from './command';
import { COMMANDS } from './commands';
import { commandHelp, generalHelp } from './help';
import { parseCommand } from './parse';
import type { Shell } from './shell';

/** Runs a command line. @returns the exit code; null if the process continues to run. Does not reject. */
export async function runCommandLine(args: readonly string[], shell: Shell): Promise<number | null> {
  try {
    return await dispatch(args, shell);
  } catch (error) {
    shell.note(errorText(error));
    return exitCodeOf(error);
  }
}

/** The exit code of a process that ends with this error. */
function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  return error instanceof ConfigError || error instanceof SettingError ? EXIT.settings : EXIT.failed;
}

async function dispatch([first, ...rest]: readonly string[], shell: Shell): Promise<number | null> {
  switch (first) {
    case undefined:
      shell.note(generalHelp(COMMANDS).trimEnd());
      return EXIT.usage;
    case '--help':
    case '-h':
      return print(shell, generalHelp(COMMANDS));
    case '--version':
      return print(shell, `${VERSION}\n`);
    case 'help':
      return help(rest, shell);
  }
  const command = commandOf(first);
  if (rest.includes('--version')) return print(shell, `${VERSION}\n`);
  const given = parseCommand(command, rest);
  return given === null ? print(shell, commandHelp(command)) : command.run(given, shell);
}

function help(names: readonly string[], shell: Shell): number {
  const [name] = names;
  if (name === undefined || name === '--help' || name === '-h') return print(shell, generalHelp(COMMANDS));
  return print(shell, commandHelp(commandOf(name)));
}

function commandOf(name: string): Command {
  const command = COMMANDS.find((each) => each.name === name);
  if (command !== undefined) return command;
  const near = nearest(
    name,
    COMMANDS.map((each) => each.name),
  );
  const what = name.startsWith('-') ? 'option' : 'command';
  const hint = what === 'command' && near !== null ? `: did you mean ${near}?` : '';
  throw new UsageError(`unknown ${what} ${name}${hint}; see "${PROGRAM} --help"`);
}

function print(shell: Shell, text: string): number {
  shell.printAsIs(text);
  return EXIT.done;
}

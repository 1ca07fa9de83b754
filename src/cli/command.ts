import type { Shell } from './shell';

/** An option of a command, as its help shows it. */
export interface Option {
  /** The name without the dashes. */
  readonly name: string;
  /** The placeholder for the value in the help; absent if the option takes no value. */
  readonly value?: string;
  /** Whether the option may be given several times. */
  readonly multiple?: boolean;
  /** The lines of the help. */
  readonly help: readonly string[];
}

/** The options and arguments that a command was given. */
export interface Given {
  /** Whether an option without a value was given. */
  has(name: string): boolean;
  /** The value of an option; undefined if the option was not given. */
  text(name: string): string | undefined;
  /** The values of an option that may be given several times. */
  texts(name: string): readonly string[];
  readonly positionals: readonly string[];
}

/** One command of the command line, with its help. */
export interface Command {
  readonly name: string;
  /** The line about the command in the list of commands. */
  readonly summary: string;
  /** The text after the name in the usage, one entry for each form of the command. */
  readonly usage: readonly string[];
  readonly description: readonly string[];
  /** How many arguments without a dash the command takes. */
  readonly positionals: { readonly least: number; readonly most: number };
  readonly options: readonly Option[];
  readonly examples: readonly { readonly command: string; readonly effect: string }[];
  /** The exit codes of this command. The help adds those that all commands share. */
  readonly exitCodes: readonly { readonly code: number; readonly meaning: string }[];
  /** The settings that the command reads. */
  readonly settings: readonly string[];
  /** @returns the exit code; null if the process continues to run, as a server does. */
  run(given: Given, shell: Shell): Promise<number | null>;
}

/** The command line itself is wrong: the process ends with exit code 64. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** 64 and 78 are taken from sysexits.h. A service manager should not restart a process that ends with one of them. */
export const EXIT = { done: 0, failed: 1, usage: 64, settings: 78 } as const;

export const PROGRAM = 'emqx-offline-store';

export const HELP: Option = { name: 'help', help: ['Print this help. -h is short for it.'] };

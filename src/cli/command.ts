import type { Shell } from './shell';

/** An option of a command, as its help shows it. */
export interface Option {
  /** Without the dashes. */
  readonly name: string;
  /** What stands for its value in the help; absent: the option takes no value. */
  readonly value?: string;
  /** It may be given several times. */
  readonly multiple?: boolean;
  /** One or more lines. */
  readonly help: readonly string[];
}

/** What a command was given. */
export interface Given {
  /** Whether an option without a value was given. */
  has(name: string): boolean;
  /** The value of an option; undefined: it was not given. */
  text(name: string): string | undefined;
  /** The values of an option that may be given several times. */
  texts(name: string): readonly string[];
  readonly positionals: readonly string[];
}

/** One command of the command line: what its help says, and what it does. */
export interface Command {
  readonly name: string;
  /** One line of the list of commands. */
  readonly summary: string;
  /** What stands behind the name, one entry for each form. */
  readonly usage: readonly string[];
  readonly description: readonly string[];
  /** How many arguments without a dash it takes. */
  readonly positionals: { readonly least: number; readonly most: number };
  readonly options: readonly Option[];
  readonly examples: readonly { readonly command: string; readonly effect: string }[];
  /** Beside those that all commands share. */
  readonly exitCodes: readonly { readonly code: number; readonly meaning: string }[];
  /** The settings that it reads. */
  readonly settings: readonly string[];
  /** @returns the exit code; null: the process goes on working, as a server does. */
  run(given: Given, shell: Shell): Promise<number | null>;
}

/** The command line itself is wrong: the process ends with exit code 64. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** As in sysexits.h: a service manager should not restart what ends with 64 or 78. */
export const EXIT = { done: 0, failed: 1, usage: 64, settings: 78 } as const;

export const PROGRAM = 'emqx-offline-store';

export const HELP: Option = { name: 'help', help: ['Print this help. -h is short for it.'] };

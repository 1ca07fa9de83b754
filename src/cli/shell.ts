import { createInterface } from 'node:readline/promises';
import { createLogger, type Logger } from '../base/log';
import { checkAvailable } from '../config/available';
import type { Config } from '../config/config';
import { loadConfig } from '../config/load';
import type { ServiceUrl } from '../config/url';
import { Secrets } from '../ops/secrets';

/** What a command uses of its process: settings, output without secrets, the log, and a terminal. */
export class Shell {
  readonly secrets = new Secrets();
  private logger = createLogger({ secrets: this.secrets });

  constructor(
    readonly env: NodeJS.ProcessEnv,
    private readonly out: (text: string) => void,
    private readonly err: (text: string) => void,
  ) {}

  static ofProcess(): Shell {
    return new Shell(
      process.env,
      (text) => void process.stdout.write(text),
      (text) => void process.stderr.write(text),
    );
  }

  /** The log, with its default level and format until the settings are read. */
  get log(): Logger {
    return this.logger;
  }

  /**
   * Loads and checks the settings.
   * @param urls URLs that the command was given, whose passwords are hidden too.
   * @throws ConfigError
   */
  configuration(urls: readonly ServiceUrl[] = []): Config {
    const config = loadConfig(this.env);
    this.secrets.learn(config, urls);
    this.logger = createLogger({ secrets: this.secrets, ...config.log });
    checkAvailable(config);
    return config;
  }

  /** Writes lines to stdout, without secrets. */
  print(...lines: readonly string[]): void {
    this.out(`${this.secrets.hide(lines.join('\n'))}\n`);
  }

  /** Writes to stdout without hiding secrets, because a rule must contain its token. */
  printAsIs(text: string): void {
    this.out(text);
  }

  /** Writes a line to stderr, without secrets: errors and progress. */
  note(line: string): void {
    this.err(`${this.secrets.hide(line)}\n`);
  }

  /** Asks the operator; null if there is no terminal. */
  get ask(): ((question: string) => Promise<string>) | null {
    if (!process.stdin.isTTY || !process.stdout.isTTY) return null;
    return async (question) => {
      const terminal = createInterface({ input: process.stdin, output: process.stdout });
      try {
        return await terminal.question(question);
      } finally {
        terminal.close();
      }
    };
  }
}

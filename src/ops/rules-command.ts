import { SettingError } from '../base/errors';
import type { Config } from '../config/config';
import { ownUrl } from '../config/own-url';
import type { Change, RuleInstaller, Wanted } from '../emqx/installer';
import { ruleTemplate, type RuleName } from '../emqx/rules';
import { ruleV4Template } from '../emqx/rules-v4';
import { InstallerV4 } from '../emqx/v4-installer';
import { InstallerV5 } from '../emqx/v5-installer';
import type { RulesOptions } from './rules-options';
import { changeLines, doneLine } from './rules-text';

export interface RulesIo {
  /** @throws ConfigError */
  readonly config: () => Config;
  readonly write: (text: string) => void;
  /** Removes secrets from a line. */
  readonly hide: (text: string) => string;
  /** Asks the operator; null if there is no terminal. */
  readonly ask: ((question: string) => Promise<string>) | null;
  /** How long to wait for EMQX's connection to the server, and then for the first event (ms). */
  readonly waitMs?: number;
}

/** The default of `waitMs`. EMQX checks a connector every 5 s (health_check_interval). */
const WAIT_MS = 15_000;
const DEFAULT_SET: RuleName = 'offline-messages';

/**
 * Runs the command `rules`.
 * @returns the exit code: 0 if everything is done, 1 if the operator answered no, or EMQX does not reach the server or
 *   gets errors from it.
 * @throws SettingError for an option or setting that must be changed
 */
export async function rulesCommand(options: RulesOptions, io: RulesIo): Promise<number> {
  const config = io.config();
  const version = options.emqx ?? config.emqx.version;
  if (options.action === 'print') return print(options, version, config, io);
  if (version !== config.emqx.version)
    throw new SettingError(
      '--emqx',
      `is ${version}, but EMQX_URL ends with /api/v${config.emqx.version}: leave out --emqx or correct EMQX_URL`,
    );
  const installer = openInstaller(config);
  const say = (...lines: string[]): void => lines.forEach((line) => io.write(`${io.hide(line)}\n`));
  try {
    return options.action === 'remove'
      ? await remove(installer, options, io, say)
      : await install(installer, wantedOf(options, config, version), options, io, say);
  } finally {
    installer.close();
  }
}

type Say = (...lines: string[]) => void;

function print(options: RulesOptions, version: 4 | 5, config: Config, { write }: RulesIo): number {
  const { set, ...wanted } = wantedOf(options, config, version);
  const rule = version === 4 ? ruleV4Template(set, { ...wanted, urls: [wanted.url, ...options.urls.slice(1)] }) : ruleTemplate(set, wanted);
  write(`${JSON.stringify(rule, null, 2)}\n`);
  return 0;
}

/** Creates the installer for the generation of EMQX that EMQX_URL names. */
function openInstaller({ emqx: { url, ca, version, credentials } }: Config): RuleInstaller {
  if (credentials === null)
    throw new SettingError(
      'EMQX_API_KEY',
      "is not set: create an API key in EMQX's dashboard (System → API Key), and set EMQX_API_KEY and EMQX_API_SECRET",
    );
  return version === 4 ? new InstallerV4({ url, ca, ...credentials }) : new InstallerV5({ url, ca, ...credentials });
}

function wantedOf({ set, name, topics, urls }: RulesOptions, config: Config, version: 4 | 5 = 5): Wanted {
  const [address = ownUrl(config), ...others] = urls;
  if (version === 5 && others.length > 0)
    throw new SettingError('--url', 'is given twice: EMQX 5 takes one address, because it retries by itself');
  if (address === null)
    throw new SettingError(
      '--url',
      `is missing: HOST is ${config.host}, so give the address at which EMQX reaches this server, like http://store.example:${config.port}`,
    );
  const { ingestToken: token } = config;
  const [fallbackUrl] = others;
  return {
    set: set ?? DEFAULT_SET,
    name,
    topics,
    url: address,
    ...(token !== null && { token }),
    ...(fallbackUrl !== undefined && { fallbackUrl }),
  };
}

async function install(installer: RuleInstaller, wanted: Wanted, options: RulesOptions, io: RulesIo, say: Say): Promise<number> {
  // The rule is built first, so that wrong options are reported before EMQX is asked.
  ruleTemplate(wanted.set, wanted);
  const changes = await installer.plan(wanted);
  if (changes.length === 0)
    say(`nothing to change: ${wanted.set} is installed as ${wanted.name}, with this address, these topics and this token`);
  else if (!(await carriedOut(changes, options, io, say))) return 1;

  const waitMs = io.waitMs ?? WAIT_MS;
  const { connected, detail } = await installer.connection(wanted, waitMs);
  if (!connected) {
    say(
      `NOT CONNECTED: EMQX does not reach the server at ${wanted.url}: ${detail}`,
      'The rule is installed, and events wait in EMQX. Is the server running, and is --url its address as EMQX sees it?',
    );
    return 1;
  }
  say(`connected: EMQX reaches the server at ${wanted.url}`);
  const event = await installer.firstEvent(wanted, waitMs);
  say(`first event: ${event.detail}`);
  if (event.outcome !== 'refused') return 0;
  say(
    "Every event is lost until this is repaired. Is INGEST_TOKEN the server's, and does --url lead to it? The server's log and /readyz say more.",
  );
  return 1;
}

async function remove(installer: RuleInstaller, options: RulesOptions, io: RulesIo, say: Say): Promise<number> {
  const changes = await installer.planRemoval(options.name, options.set);
  if (changes.length > 0) return (await carriedOut(changes, options, io, say)) ? 0 : 1;
  say(`nothing to remove: EMQX has nothing that --install made as ${options.name}${options.set === null ? '' : ` for ${options.set}`}`);
  return 0;
}

/** Makes the changes in EMQX. @returns false if the operator answers no. */
async function carriedOut(changes: readonly Change[], { yes, action }: RulesOptions, { ask }: RulesIo, say: Say): Promise<boolean> {
  say('in EMQX (+ is added, ~ is changed, - is removed):', ...changeLines(changes));
  if (!yes) {
    if (ask === null) throw new SettingError(`--${action}`, 'there is no terminal to ask on, and nothing was changed: add --yes');
    if (!/^y(es)?$/i.test((await ask('Do this? [y/N] ')).trim())) {
      say('nothing was changed');
      return false;
    }
  }
  for (const change of changes) {
    await change.carryOut();
    say(doneLine(change));
  }
  return true;
}

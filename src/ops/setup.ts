import type { Config } from '../config/config';
import { ownUrl } from '../config/own-url';
import { DEFAULT_NAME, ruleDefaults, ruleTemplate, type RuleName } from '../emqx/rules';
import { ruleV4Template } from '../emqx/rules-v4';
import { setupUrl } from './rules-text';

export interface SetupWish {
  readonly set: RuleName;
  /** Empty: the default of the command. */
  readonly topics: readonly string[];
  /** null: the generation that EMQX_URL is for. */
  readonly emqx: 4 | 5 | null;
  readonly showsToken: boolean;
}

const HIDDEN = '***';

/** What an operator does to have EMQX send its events: the command that installs the rules, and the rules as JSON text for an import. */
export function setupOf(config: Config, { set, topics, emqx, showsToken }: SetupWish): { command: string; rules: string } {
  const version = emqx ?? config.emqx.version;
  const url = ownUrl(config) ?? setupUrl(config);
  const { ingestToken } = config;
  const options = {
    url,
    topics: topics.length === 0 ? ruleDefaults.topics : topics,
    name: DEFAULT_NAME,
    ...(ingestToken !== null && { token: showsToken ? ingestToken : HIDDEN }),
  };
  const rules = version === 4 ? ruleV4Template(set, { ...options, urls: [url] }) : ruleTemplate(set, options);
  const args = ['--install', '--set', set, '--url', url, ...topics.flatMap((topic) => ['--topic', topic])];
  return {
    command: `npx emqx-offline-store rules ${args.map(quoted).join(' ')}`,
    rules: `${JSON.stringify(rules, null, 2)}\n`,
  };
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

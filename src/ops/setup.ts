import type { Config } from '../config/config';
import { DEFAULT_NAME, ruleTemplate } from '../emqx/rules';
import { ruleV4Template } from '../emqx/rules-v4';
import type { SetupRequest } from '../http/services';
import { ruleTopics } from './rule-topics';
import { installCommand, setupUrl } from './rules-text';

const HIDDEN = '***';

/**
 * The two ways to have EMQX send its events: the command that installs the rules, and the rules as JSON text for an
 * import.
 */
export function setupOf(config: Config, { set, topics, emqx, showsToken }: SetupRequest): { command: string; rules: string } {
  const version = emqx ?? config.emqx.version;
  const url = setupUrl(config);
  const { ingestToken } = config;
  const filters = topics.length === 0 ? ruleTopics(config.policies) : topics;
  const options = {
    url,
    topics: filters,
    name: DEFAULT_NAME,
    ...(ingestToken !== null && { token: showsToken ? ingestToken : HIDDEN }),
  };
  const rules = version === 4 ? ruleV4Template(set, { ...options, urls: [url] }) : ruleTemplate(set, options);
  return {
    command: installCommand(config, { set, topics: filters }),
    rules: `${JSON.stringify(rules, null, 2)}\n`,
  };
}

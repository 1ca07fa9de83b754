import type { Policy } from '../config/policies';
import { ruleDefaults } from '../emqx/rules';

/**
 * The topics that the rule of this server is for: the filters of the policies that store something. The policy `#`
 * stands for the default topics, because a rule for `#` posts everything that is published in EMQX.
 */
export function ruleTopics(policies: readonly Policy[]): readonly string[] {
  const stored = policies.filter(({ mode, retain }) => mode !== 'off' || retain !== 'off');
  return [...new Set(stored.flatMap(({ filter }) => (filter === '#' ? ruleDefaults.topics : [filter])))];
}

/** The options of the command `rules` for these topics. The list is empty if they are the command's default. */
export function topicOptions(topics: readonly string[]): readonly string[] {
  const { topics: usual } = ruleDefaults;
  const isUsual = topics.length === usual.length && topics.every((topic, i) => topic === usual[i]);
  return isUsual ? [] : topics.flatMap((topic) => ['--topic', quoted(topic)]);
}

/** Quotes a word for a POSIX shell. */
function quoted(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

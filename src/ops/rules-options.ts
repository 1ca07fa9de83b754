import { SettingError } from '../base/errors';
import { checkedName, DEFAULT_NAME, ruleDefaults, ruleNames, type RuleName } from '../emqx/rules';

/** The checked options of the command `rules`. */
export interface RulesOptions {
  readonly action: 'print' | 'install' | 'remove';
  /** null if the option is absent. */
  readonly set: RuleName | null;
  readonly name: string;
  readonly topics: readonly string[];
  /**
   * The address at which EMQX reaches this server. For EMQX 4 the second one is the server that EMQX falls back to. If
   * empty, the address comes from the settings.
   */
  readonly urls: readonly string[];
  /** null for the version of EMQX_URL. */
  readonly emqx: 4 | 5 | null;
  readonly yes: boolean;
}

/** The options as the operator wrote them. */
export interface WrittenRulesOptions {
  readonly install: boolean;
  readonly remove: boolean;
  readonly yes: boolean;
  readonly emqx: string | undefined;
  readonly set: string | undefined;
  readonly name: string | undefined;
  readonly urls: readonly string[];
  readonly topics: readonly string[];
  /** The arguments without a dash. The first one may be the set. */
  readonly positionals: readonly string[];
}

/** @throws SettingError */
export function rulesOptions(written: WrittenRulesOptions): RulesOptions {
  const { install, remove, yes, emqx, urls, topics, positionals, set = positionals[0] } = written;
  if (positionals.length > 1 || (positionals[0] !== undefined && positionals[0] !== set))
    throw new SettingError('rules', 'takes one rule set: --set NAME');
  if (install && remove) throw new SettingError('rules', 'takes --install or --remove, not both');
  if (yes && !install && !remove) throw new SettingError('--yes', 'may be given with --install or --remove only');
  if (remove && urls.length + topics.length > 0)
    throw new SettingError('--remove', 'finds the rules by --name and --set: leave out --url and --topic');
  if (emqx !== undefined && emqx !== '4' && emqx !== '5') throw new SettingError('--emqx', 'must be 4 or 5 (5 is for EMQX 6, too)');
  const known = ruleNames.find((each) => each === set);
  if (set !== undefined && known === undefined)
    throw new SettingError('--set', `${JSON.stringify(set)} must be one of ${ruleNames.join(', ')}`);
  return {
    action: install ? 'install' : remove ? 'remove' : 'print',
    set: known ?? null,
    name: checkedName(written.name ?? DEFAULT_NAME),
    topics: topics.length > 0 ? topics : ruleDefaults.topics,
    urls,
    emqx: emqx === undefined ? null : emqx === '4' ? 4 : 5,
    yes,
  };
}

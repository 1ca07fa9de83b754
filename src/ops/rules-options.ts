import { parseArgs } from 'node:util';
import { SettingError } from '../base/errors';
import { checkedName, DEFAULT_NAME, ruleDefaults, ruleNames, type RuleName } from '../emqx/rules';

/** What `emqx-offline-store rules` was asked for. */
export interface RulesOptions {
  readonly action: 'print' | 'install' | 'remove';
  /** null: not said. */
  readonly set: RuleName | null;
  readonly name: string;
  readonly topics: readonly string[];
  /** This server's address as EMQX reaches it; for EMQX 4 also that of a second server to fall back to. Empty: that of the settings. */
  readonly urls: readonly string[];
  /** null: the version that EMQX_URL is for. */
  readonly emqx: 4 | 5 | null;
  readonly yes: boolean;
}

const OPTIONS = {
  emqx: { type: 'string' },
  url: { type: 'string', multiple: true },
  topic: { type: 'string', multiple: true },
  set: { type: 'string' },
  name: { type: 'string' },
  install: { type: 'boolean', default: false },
  remove: { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
} as const;

/** @throws SettingError */
export function rulesOptions(args: string[]): RulesOptions {
  const { values, positionals } = parsed(args);
  const { install, remove, set = positionals[0], emqx } = values;
  if (positionals.length > 1 || (positionals[0] !== undefined && positionals[0] !== set))
    throw new SettingError('rules', 'takes one rule set: --set NAME');
  if (install && remove) throw new SettingError('rules', 'takes one of --install and --remove');
  if (values.yes && !install && !remove) throw new SettingError('--yes', 'is for --install and --remove');
  if (remove && (values.url !== undefined || values.topic !== undefined))
    throw new SettingError('--remove', 'goes by --name and --set: leave out --url and --topic');
  if (emqx !== undefined && emqx !== '4' && emqx !== '5') throw new SettingError('--emqx', 'must be 4 or 5 (5 is for EMQX 6, too)');
  const known = ruleNames.find((each) => each === set);
  if (set !== undefined && known === undefined)
    throw new SettingError('--set', `${JSON.stringify(set)} must be one of ${ruleNames.join(', ')}`);
  return {
    action: install ? 'install' : remove ? 'remove' : 'print',
    set: known ?? null,
    name: checkedName(values.name ?? DEFAULT_NAME),
    topics: values.topic ?? ruleDefaults.topics,
    urls: values.url ?? [],
    emqx: emqx === undefined ? null : emqx === '4' ? 4 : 5,
    yes: values.yes,
  };
}

function parsed(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    // Its messages name the option: Unknown option '--intall'.
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('ERR_PARSE_ARGS') === true) throw new SettingError('rules', message);
    throw error;
  }
}

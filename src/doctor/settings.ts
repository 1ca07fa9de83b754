import type { Config } from '../config/config';
import type { Policy } from '../config/policies';
import type { SettingWarning } from '../ops/setting-warnings';
import { NO_API_KEY } from '../ops/status';
import { ok, problem, warning, type Finding } from './finding';

/** EMQX's default of mqtt.max_mqueue_len (messages). */
const SESSION_QUEUE = 1_000;

/**
 * Finds settings that are valid but probably not intended.
 * @param warnings the warnings that the server also logs at its start.
 */
export function checkSettings({ emqx, policies }: Config, warnings: readonly SettingWarning[] = []): Finding[] {
  const findings = [
    ...(emqx.credentials === null ? [problem('settings', NO_API_KEY, 'make an API key in EMQX (System → API Key) and set both')] : []),
    ...warnings.map(({ about, text, advice }) => warning(about, text, advice)),
    ...policies.flatMap(checkPolicy),
  ];
  const told = findings.length > 0 ? findings : [ok('settings', `${policies.length} ${policies.length === 1 ? 'policy' : 'policies'}`)];
  return [...told, ...lastPolicy(policies)];
}

/** Explains a list of policies without the filter #. It is no warning, because such a list is often intended. */
function lastPolicy(policies: readonly Policy[]): Finding[] {
  if (policies.some(({ filter }) => filter === '#')) return [];
  return [ok('policies', 'no policy has the filter #: a message whose topic no policy matches is not stored')];
}

function checkPolicy({ filter, mode, deliverTo, window }: Policy): Finding[] {
  const about = `policy ${filter}`;
  return [
    ...(mode === 'pubsub' && deliverTo === 'topic'
      ? [
          warning(
            about,
            'mode pubsub with deliverTo topic: messages that are sent to one client reach all subscribers of the topic',
            'set deliverTo to inbox',
          ),
        ]
      : []),
    ...(mode !== 'off' && window >= SESSION_QUEUE
      ? [
          warning(
            about,
            `window ${window}: EMQX drops messages that exceed its session queue (mqtt.max_mqueue_len, ${SESSION_QUEUE} by default)`,
            'set window to a smaller number',
          ),
        ]
      : []),
  ];
}

import type { Config } from '../config/config';
import type { Policy } from '../config/policies';
import { covers } from '../policies/overlap';
import { NO_API_KEY } from '../ops/status';
import { ok, problem, warning, type Finding } from './finding';

/** EMQX's default of mqtt.max_mqueue_len. */
const SESSION_QUEUE = 1_000;

/** What is valid and yet not what one wants. */
export function checkSettings({ emqx, policies }: Config): Finding[] {
  const findings = [
    ...(emqx.credentials === null ? [problem('settings', NO_API_KEY, 'make an API key in EMQX (System → API Key) and set both')] : []),
    ...policies.flatMap((policy, i) => checkPolicy(policy, policies.slice(0, i))),
  ];
  return findings.length > 0 ? findings : [ok('settings', `${policies.length} ${policies.length === 1 ? 'policy' : 'policies'}`)];
}

function checkPolicy({ filter, mode, deliverTo, window }: Policy, earlier: readonly Policy[]): Finding[] {
  const about = `policy ${filter}`;
  const hider = earlier.find((each) => covers(each.filter, filter));
  if (hider !== undefined)
    return [warning(about, `is never used: ${hider.filter} comes first and matches all of it`, 'put it before that one')];
  return [
    ...(mode === 'pubsub' && deliverTo === 'topic'
      ? [
          warning(
            about,
            'mode pubsub with deliverTo topic: what is sent to one client reaches everybody who is subscribed',
            'set deliverTo to inbox',
          ),
        ]
      : []),
    ...(mode !== 'off' && window >= SESSION_QUEUE
      ? [
          warning(
            about,
            `window ${window}: EMQX drops what exceeds its session queue (mqtt.max_mqueue_len, ${SESSION_QUEUE} by default)`,
            'make it smaller than that',
          ),
        ]
      : []),
  ];
}

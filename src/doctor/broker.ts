import type { Config } from '../config/config';
import type { EmqxApi } from '../emqx/api';
import type { Inspection } from '../emqx/inspection';
import { isOurs, reviewRule, reviewTogether, shippedAs, type Flaw } from '../emqx/rule-review';
import { errorText } from '../base/errors';
import { ok, problem, warning, type Finding } from './finding';

/** EMQX's `date` has whole seconds. */
const TOLERATED_SKEW_MS = 2_000;

const NOT_RETRIED = warning(
  'events',
  'EMQX 4 does not retry: what it posts while this server is away, or answers with an error, is lost; its clock and rules are not checked',
  'import the rule with two addresses of servers on one queue (emqx-offline-store rules --emqx 4 --url A --url B), or move to EMQX 5; see docs/emqx4.md',
);

/** EMQX's REST API, its clock, its rules, its retainer. */
export async function* checkBroker(emqx: EmqxApi, config: Config): AsyncGenerator<Finding> {
  const { ok: isOk, detail } = await emqx.health();
  if (!isOk) return yield problem('emqx', detail, 'nothing can be delivered until then; messages stay stored');
  yield ok('emqx', detail);
  if (config.emqx.version === 4) yield NOT_RETRIED;
  if (emqx.inspection === undefined) return;
  for (const check of [checkClock(emqx.inspection), checkRules(emqx.inspection, config), checkRetainer(emqx, config)]) {
    try {
      yield* await check;
    } catch (error) {
      yield problem('emqx', errorText(error), 'the API key needs the role administrator; EMQX 5.4 or later');
    }
  }
}

async function checkClock(inspection: Inspection): Promise<Finding[]> {
  const ahead = await inspection.clockAhead();
  if (ahead === null) return [warning('clock', "EMQX's answers have no date: its clock can't be compared", 'keep both clocks together (NTP)')];
  const seconds = `${(Math.abs(ahead) / 1000).toFixed(1)} s ${ahead > 0 ? 'ahead of' : 'behind'} ours`;
  if (Math.abs(ahead) <= TOLERATED_SKEW_MS) return [ok('clock', "EMQX's agrees with ours to within 2 s")];
  return [problem('clock', `EMQX's is ${seconds}: messages come twice, late or out of order`, 'keep both clocks together (NTP)')];
}

async function checkRules(inspection: Inspection, { policies, ingestToken, emqx }: Config): Promise<Finding[]> {
  const own = (await inspection.rules()).filter(({ actions }) => actions.some(isOurs));
  if (own.length === 0) {
    const command = `curl -u KEY:SECRET -X PUT '${emqx.url}/configs?mode=merge' -H 'Content-Type: text/plain' --data-binary @rules/emqx5/offline-messages.json`;
    return [problem('rules', 'no rule in EMQX posts to /v1/events: nothing is stored', command)];
  }
  const context = { inboxes: policies.some(({ mode, deliverTo }) => mode !== 'off' && deliverTo === 'inbox'), token: ingestToken !== null };
  const each = own.flatMap((rule) => {
    const flaws = reviewRule(rule, context);
    const shipped = shippedAs(rule.sql);
    const fine = shipped === null ? 'of your own, nothing found' : `as shipped (${shipped})`;
    return flaws.length === 0 ? [ok(`rule ${rule.id}`, fine)] : flaws.map((flaw) => findingOf(`rule ${rule.id}`, flaw));
  });
  return [...each, ...reviewTogether(own).map((flaw) => findingOf('rules', flaw))];
}

async function checkRetainer({ retainer }: EmqxApi, { policies }: Config): Promise<Finding[]> {
  if (retainer === undefined || !policies.some(({ retain }) => retain === 'restore')) return [];
  if (await retainer.isOn()) return [ok('retainer', 'is on')];
  return [problem('retainer', "EMQX's retainer is off: nothing is restored", 'turn it on, or set retain to off or store')];
}

function findingOf(about: string, { grave, text, remedy }: Flaw): Finding {
  return (grave ? problem : warning)(about, text, remedy);
}

import type { Config } from '../config/config';
import { ForbiddenError, NoSuchPathError, type EmqxApi } from '../emqx/api';
import type { Inspection } from '../emqx/inspection';
import { isOurs, messageTopics, reviewRule, reviewTogether, shippedAs, type Flaw, type ReviewContext } from '../emqx/rule-review';
import { tokenPrint } from '../emqx/token-print';
import { installCommand } from '../ops/rules-text';
import { errorText } from '../base/errors';
import { covers } from '../policies/overlap';
import { ok, problem, warning, type Finding } from './finding';

/** The tolerated difference between the clocks (ms). EMQX's header `date` has whole seconds only. */
const TOLERATED_SKEW_MS = 2_000;

const NOT_RETRIED = warning(
  'events',
  'EMQX 4 does not retry: what it posts while this server is away, or answers with an error, is lost; its clock and rules are not checked',
  'import the rule with two addresses of servers on one queue (emqx-offline-store rules --emqx 4 --url A --url B), or move to EMQX 5; see docs/emqx4.md',
);

/** Checks EMQX's REST API, clock, rules, retainer, clients and message queues. */
export async function* checkBroker(emqx: EmqxApi, config: Config): AsyncGenerator<Finding> {
  const { ok: isOk, detail } = await emqx.health();
  if (!isOk) return yield problem('emqx', detail, 'nothing can be delivered until then; messages stay stored');
  yield ok('emqx', detail);
  if (config.emqx.version === 4) yield NOT_RETRIED;
  if (emqx.inspection === undefined) return;
  const { inspection } = emqx;
  const checks: readonly [string, () => Promise<Finding[]>][] = [
    ['clock', () => checkClock(inspection)],
    ['rules', () => checkRules(inspection, config)],
    ['retainer', () => checkRetainer(emqx, config)],
    ['clients', () => checkClients(inspection, config)],
    ['queues', () => checkQueues(emqx)],
  ];
  for (const [about, check] of checks) {
    try {
      yield* await check();
    } catch (error) {
      yield failureOf(about, error);
    }
  }
}

/**
 * The finding for a failed check. A missing right or path is only a warning, because deliveries need few paths of
 * EMQX's REST API.
 */
function failureOf(about: string, error: unknown): Finding {
  const isClosed = error instanceof ForbiddenError || error instanceof NoSuchPathError;
  if (!isClosed) return problem('emqx', errorText(error), 'the API key needs the role administrator; EMQX 5.4 or later');
  return warning(
    about,
    `not checked: ${errorText(error)}`,
    'run the doctor with an API key of the role administrator, if EMQX has roles; deliveries do not need that role',
  );
}

/**
 * Finds clients with durable sessions or mountpoints, because EMQX does not report what these change for deliveries.
 */
async function checkClients(inspection: Inspection, { policies }: Config): Promise<Finding[]> {
  const { count, durable, mounted } = await inspection.clients();
  const inboxes = policies.some(({ mode, deliverTo }) => mode !== 'off' && deliverTo === 'inbox');
  return [
    ...(durable > 0
      ? [
          warning(
            'clients',
            `${durable} of ${count} have a durable session: EMQX tells of no acknowledgement, so what EMQX has taken for them counts as delivered`,
            'use rules/emqx5/offline-only.json for their topics (docs/semantics.md)',
          ),
        ]
      : []),
    ...(mounted !== null && inboxes
      ? [
          problem(
            'clients',
            `EMQX puts ${JSON.stringify(mounted.mountpoint)} before the topics of ${JSON.stringify(mounted.clientid)}: nothing that is sent to the inbox of such a client arrives`,
            'set deliverTo to topic for their topics, or take the mountpoint from the listener',
          ),
        ]
      : []),
  ];
}

async function checkQueues(emqx: EmqxApi): Promise<Finding[]> {
  if ((await emqx.messageQueues?.()) !== true) return [];
  return [
    warning(
      'queues',
      "EMQX's message queues run: what this server delivers reaches no queue, and a subscription to $queue/... starts no delivery",
      'let the topics of queues match no policy (mode off), since EMQX keeps their messages',
    ),
  ];
}

async function checkClock(inspection: Inspection): Promise<Finding[]> {
  const ahead = await inspection.clockAhead();
  if (ahead === null)
    return [warning('clock', "EMQX's answers have no date: its clock can't be compared", 'keep both clocks together (NTP)')];
  const seconds = `${(Math.abs(ahead) / 1000).toFixed(1)} s ${ahead > 0 ? 'ahead of' : 'behind'} this server's`;
  if (Math.abs(ahead) <= TOLERATED_SKEW_MS) return [ok('clock', "EMQX's clock agrees with this server's to within 2 s")];
  return [problem('clock', `EMQX's clock is ${seconds}: messages come twice, late or out of order`, 'keep both clocks together (NTP)')];
}

async function checkRules(inspection: Inspection, config: Config): Promise<Finding[]> {
  const own = (await inspection.rules()).filter(({ actions }) => actions.some(isOurs));
  if (own.length === 0) return [problem('rules', 'no rule in EMQX posts to /v1/events: nothing is stored', installCommand(config))];
  const context = contextOf(config);
  const each = own.flatMap((rule) => {
    const flaws = reviewRule(rule, context);
    const shipped = shippedAs(rule.sql);
    const fine = shipped === null ? 'a rule of your own, in which nothing wrong was found' : `as shipped (${shipped})`;
    return flaws.length === 0 ? [ok(`rule ${rule.id}`, fine)] : flaws.map((flaw) => findingOf(`rule ${rule.id}`, flaw));
  });
  const uncovered = own
    .filter(({ enabled }) => enabled)
    .flatMap(({ sql }) => messageTopics(sql))
    .filter((topic) => !config.policies.some(({ filter }) => covers(filter, topic)));
  return [...each, ...reviewTogether(own).map((flaw) => findingOf('rules', flaw)), ...[...new Set(uncovered)].map(withoutPolicy)];
}

function contextOf(config: Config): ReviewContext {
  const { policies, ingestToken, previousIngestToken, port, tls } = config;
  const [print, previous] = [ingestToken, previousIngestToken].map((token) => (token === null ? null : tokenPrint(token)));
  const server = {
    tls: tls !== null,
    port,
    tokenPrint: print ?? null,
    previousTokenPrint: previous ?? null,
    remedy: installCommand(config),
  };
  return { inboxes: policies.some(({ mode, deliverTo }) => mode !== 'off' && deliverTo === 'inbox'), token: ingestToken !== null, server };
}

async function checkRetainer({ retainer }: EmqxApi, { policies }: Config): Promise<Finding[]> {
  if (retainer === undefined || !policies.some(({ retain }) => retain === 'restore')) return [];
  if (await retainer.isOn()) return [ok('retainer', 'is on')];
  return [problem('retainer', "EMQX's retainer is off: nothing is restored", 'turn it on, or set retain to off or store')];
}

function withoutPolicy(topic: string): Finding {
  const text = `a rule tells of messages of ${topic}, and no policy covers all of these topics: messages that no policy matches are not stored`;
  return warning('policies', text, 'add a policy, for instance {"filter":"#"} as the last one; with mode off for what must not be stored');
}

function findingOf(about: string, { grave, text, remedy }: Flaw): Finding {
  return (grave ? problem : warning)(about, text, remedy);
}

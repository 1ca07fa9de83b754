import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { VERSION } from './version';

/** One registry per server, handed around: prom-client's global one would be shared by every server in a process. */
export interface Metrics {
  readonly registry: Registry;
  readonly eventsAccepted: Counter<'event'>;
  readonly eventsRejected: Counter<'reason'>;
  readonly httpDuration: Histogram<'method' | 'route' | 'status'>;
  readonly messagesStored: Counter;
  readonly messagesNotStored: Counter<'reason'>;
  readonly messagesRemoved: Counter;
  readonly messagesTrimmed: Counter;
  readonly messagesExpired: Counter;
  readonly acksApplied: Counter;
  readonly messagesDelivered: Counter;
  readonly messagesRefused: Counter;
  readonly deliveriesDropped: Counter<'reason'>;
  readonly historyAppended: Counter<'sink'>;
  readonly deadLetters: Counter;
  readonly deadLettersRetried: Counter;
  readonly deadLettersDiscarded: Counter;
  readonly retainedRestored: Counter<'outcome'>;
  readonly queueLag: Histogram;
  readonly laneRetries: Counter<'lane'>;
  readonly emqxDuration: Histogram<'operation'>;
  readonly emqxErrors: Counter<'operation' | 'kind'>;
}

const PREFIX = 'emqx_offline_';
/** seconds */
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string = string>(name: string, help: string, labelNames: L[] = []): Counter<L> =>
    new Counter({ name: `${PREFIX}${name}_total`, help, labelNames, registers });
  registerBuildInfo(registry);
  return {
    registry,
    eventsAccepted: counter('events_accepted', "Events that were answered 202, by EMQX's event name", ['event']),
    eventsRejected: counter(
      'events_rejected',
      'Requests to /v1/events that were not accepted, by reason: the last part of the problem type that the answer has',
      ['reason'],
    ),
    httpDuration: new Histogram({
      name: `${PREFIX}http_request_duration_seconds`,
      help: 'Time from the request line to the end of the answer',
      labelNames: ['method', 'route', 'status'],
      buckets: REQUEST_BUCKETS,
      registers,
    }),
    messagesStored: counter('messages_stored', 'Messages that were written to the store'),
    messagesNotStored: counter(
      'messages_not_stored',
      'Published messages that were accepted and not stored, by reason: no_policy (no policy matches the topic), mode_off, qos0, expired (on arrival)',
      ['reason'],
    ),
    messagesRemoved: counter('messages_removed', 'Messages that were removed because they were acknowledged, expired, trimmed or purged'),
    messagesTrimmed: counter(
      'messages_trimmed',
      "Messages that were removed because their topic had more than its policy's maxStored; messages_removed counts them too",
    ),
    messagesExpired: counter('messages_expired', 'Messages that were removed because they had expired; messages_removed counts them too'),
    acksApplied: counter(
      'acks_applied',
      'Acknowledgements that were applied to the store, including those of messages that were not stored',
    ),
    messagesDelivered: counter('messages_delivered', 'Messages that EMQX accepted for a subscriber'),
    messagesRefused: counter('messages_refused', 'Messages that the store or EMQX rejected because of their content'),
    deliveriesDropped: counter(
      'deliveries_dropped',
      'Messages that the server had published and EMQX dropped (delivery.dropped), by the reason that EMQX gives. The server sends them again',
      ['reason'],
    ),
    historyAppended: counter('history_appended', 'Messages that were appended to a history', ['sink']),
    deadLetters: counter('dead_letters', 'Events and messages that became dead letters'),
    deadLettersRetried: counter('dead_letters_retried', 'Dead letters that an operator put back into the queue'),
    deadLettersDiscarded: counter(
      'dead_letters_discarded',
      'Dead letters that were deleted because there were too many or because they were too old',
    ),
    retainedRestored: counter(
      'retained_restored',
      'Retained messages that were published back, by outcome: restored, or refused when EMQX did not retain them',
      ['outcome'],
    ),
    queueLag: new Histogram({
      name: `${PREFIX}queue_lag_seconds`,
      help: 'Time from the moment when the queue has a job of accepted events (their 202), or when a delayed job is due, until its work is done; one value for each job',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600],
      registers,
    }),
    laneRetries: counter('lane_retries', 'Times that a lane tried its jobs again because something failed, by lane', ['lane']),
    emqxDuration: new Histogram({
      name: `${PREFIX}emqx_request_duration_seconds`,
      help: "Duration of the requests to EMQX's REST API, failed ones included, by operation",
      labelNames: ['operation'],
      buckets: REQUEST_BUCKETS,
      registers,
    }),
    emqxErrors: counter(
      'emqx_request_errors',
      "Requests to EMQX's REST API that failed, by operation and kind: auth (401, 403), not_found, rejected (another 4xx), server_error, no_answer, connection",
      ['operation', 'kind'],
    ),
  };
}

function registerBuildInfo(registry: Registry): void {
  const info = new Gauge({
    name: `${PREFIX}build_info`,
    help: 'Always 1; the labels have the version of the server and of Node.js',
    labelNames: ['version', 'node'],
    registers: [registry],
  });
  info.set({ version: VERSION, node: process.version }, 1);
}

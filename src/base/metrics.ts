import { Counter, Histogram, Registry } from 'prom-client';

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
}

const PREFIX = 'emqx_offline_';

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string): Counter => new Counter({ name: `${PREFIX}${name}_total`, help, registers });
  return {
    registry,
    eventsAccepted: new Counter({
      name: `${PREFIX}events_accepted_total`,
      help: "Events answered 202, by EMQX's event name",
      labelNames: ['event'],
      registers,
    }),
    eventsRejected: new Counter({
      name: `${PREFIX}events_rejected_total`,
      help: 'Requests to /v1/events that were not accepted, by the last part of the problem type',
      labelNames: ['reason'],
      registers,
    }),
    httpDuration: new Histogram({
      name: `${PREFIX}http_request_duration_seconds`,
      help: 'Time from the request line to the end of the answer',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    messagesStored: counter('messages_stored', 'Messages written to the store'),
    messagesNotStored: new Counter({
      name: `${PREFIX}messages_not_stored_total`,
      help: 'Published messages that were accepted and not stored, by reason: no_policy (no policy matches the topic), mode_off, qos0, expired (on arrival)',
      labelNames: ['reason'],
      registers,
    }),
    messagesRemoved: counter('messages_removed', 'Messages removed: acknowledged, expired, trimmed or purged'),
    messagesTrimmed: counter(
      'messages_trimmed',
      "Messages removed since their topic had more than its policy's maxStored; also in messages_removed",
    ),
    messagesExpired: counter('messages_expired', 'Messages removed since they had expired; also in messages_removed'),
    acksApplied: counter('acks_applied', 'Acknowledgements applied to the store, those of messages that were not stored too'),
    messagesDelivered: counter('messages_delivered', 'Messages that EMQX took for a subscriber'),
    messagesRefused: counter('messages_refused', 'Messages that the store or EMQX refused for their content'),
    deliveriesDropped: new Counter({
      name: `${PREFIX}deliveries_dropped_total`,
      help: 'Deliveries of ours that EMQX gave up (delivery.dropped), by its reason; they are sent again',
      labelNames: ['reason'],
      registers,
    }),
    historyAppended: new Counter({
      name: `${PREFIX}history_appended_total`,
      help: 'Messages appended to a history',
      labelNames: ['sink'],
      registers,
    }),
    deadLetters: counter('dead_letters', 'Events and messages set aside as dead letters'),
    deadLettersRetried: counter('dead_letters_retried', 'Dead letters put back into the queue by an operator'),
    deadLettersDiscarded: counter('dead_letters_discarded', 'Dead letters that went since there were too many, or since they were too old'),
    retainedRestored: new Counter({
      name: `${PREFIX}retained_restored_total`,
      help: 'Retained messages published back: restored, or refused when EMQX did not retain them',
      labelNames: ['outcome'],
      registers,
    }),
    queueLag: new Histogram({
      name: `${PREFIX}queue_lag_seconds`,
      help: 'Time from the moment that the queue has a job of accepted events (their 202) until its work is done, one value for each job',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600],
      registers,
    }),
  };
}

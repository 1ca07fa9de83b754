import type { RequestListener } from 'node:http';
import type { Express } from 'express';
import { createGuards } from '../../src/door/auth';
import type { AppOptions } from '../../src/http/options';
import { createApi, createApp } from '../../src/http/app';
import type { DeadLetter } from '../../src/dead-letters/box';
import type { NewDeadLetter } from '../../src/dead-letters/letters';
import type { DeliveryView } from '../../src/mailbox/clients/client-desk';
import type { components } from '../../src/contract/openapi';
import type { HttpServices, ReadinessCheck, SetupRequest, SetupView } from '../../src/http/services';
import type { Explanation } from '../../src/mailbox/box/explain';
import type { OfflineEvent } from '../../src/events/event';
import type { Message, MessageRef } from '../../src/mqtt/message';
import { matches } from '../../src/mqtt/topic';
import type { ClientState, Position, Subscription } from '../../src/stores/store';
import { createLogger } from '../../src/base/log';
import { createMetrics } from '../../src/base/metrics';

export const NOW = 1_000_000;
export const REQUEST_ID = '0b6f4a52-6c9b-4f0e-9f0c-5d7b6a0f9d11';

type DeliveryOutcome = components['schemas']['DeliveryOutcome'];
type RestoreOutcome = components['schemas']['RestoreOutcome'];

/** The services that the HTTP edge talks to, in memory; a test puts errors and answers in. */
export class Fakes {
  readonly accepted: OfflineEvent[] = [];
  readonly recorded: NewDeadLetter[] = [];
  readonly requested: [clientid: string, filter: string][] = [];
  /** By the id of the request. */
  readonly outcomes: Record<string, DeliveryOutcome> = {};
  readonly restores: Record<string, RestoreOutcome> = {};
  /** Topics whose policy keeps no retained messages now. */
  readonly notKept = new Set<string>();
  explanations: Explanation[] = [{ level: 'ok', text: 'The client is connected.' }];
  setup: SetupView = { command: 'rules --install', rules: '{}\n', lastEventAt: null, eventsAccepted: 0, refused: null };
  setupFailure: Error | null = null;
  /** What /v1/setup asked for. */
  readonly wishes: SetupRequest[] = [];
  readonly tombstones = new Map<string, number>();
  readonly lines: string[] = [];
  readonly metrics = createMetrics();
  messages: Message[] = [];
  retained: Message[] = [];
  readonly restored: string[] = [];
  states: ClientState[] = [];
  subscriptions: Subscription[] = [];
  positions: Position[] = [];
  deliveries: Record<string, DeliveryView> = {};
  /** What was asked of the clients' desk. */
  readonly desk: unknown[][] = [];
  letters: DeadLetter[] = [];
  /** What letters were retried with. */
  readonly edited: unknown[] = [];
  checks: ReadinessCheck[] = [{ name: 'store', ok: true, detail: 'fine' }];
  /** What every call rejects with, when set. */
  failure: Error | null = null;
  /** What the queue does before it has an event. */
  queueing: () => Promise<void> = () => Promise.resolve();
  /** What recording a dead letter waits for. */
  recording: Promise<void> = Promise.resolve();

  app(options: Partial<AppOptions> = {}): RequestListener {
    const log = createLogger({ level: 'info', destination: { write: (line: string) => void this.lines.push(line) } });
    return createApp(this.services(), {
      ingestToken: null,
      adminToken: null,
      bodyLimit: 16 * 1024 * 1024,
      tombstoneMs: 500,
      log,
      now: () => NOW,
      ...options,
    });
  }

  /** What is behind the door. */
  api(): Express {
    const tokens = { ingestToken: null, adminToken: null };
    return createApi(
      this.services(),
      { ...tokens, bodyLimit: 1, tombstoneMs: 1, log: createLogger({ level: 'silent' }) },
      createGuards(tokens),
    );
  }

  private async working<T>(work: () => T): Promise<T> {
    if (this.failure !== null) throw this.failure;
    return work();
  }

  private services(): HttpServices {
    const one = (id: string): DeadLetter | null => this.letters.find((letter) => letter.id === id) ?? null;
    const takeAll = (): number => this.letters.splice(0).length;
    const take = (id: string): boolean => {
      const found = one(id) !== null;
      this.letters = this.letters.filter((letter) => letter.id !== id);
      return found;
    };
    return {
      metrics: this.metrics,
      ingest: {
        accept: async (events) => {
          await this.queueing();
          await this.working(() => void this.accepted.push(...events));
        },
      },
      deliveries: {
        request: (clientid, filter) =>
          this.working(() => {
            this.requested.push([clientid, filter]);
            return REQUEST_ID;
          }),
        outcome: (id) => this.working(() => this.outcomes[id] ?? null),
      },
      retained: {
        restore: (filter) =>
          this.working(() => {
            this.restored.push(filter);
            return REQUEST_ID;
          }),
        outcome: (id) => this.working(() => this.restores[id] ?? null),
        isKept: (topic) => !this.notKept.has(topic),
      },
      setup: (wish) => {
        if (this.setupFailure !== null) throw this.setupFailure;
        this.wishes.push(wish);
        return this.setup;
      },
      deadLetters: {
        record: async (letter) => {
          await this.recording;
          this.recorded.push(letter);
        },
        list: ({ after, limit }) =>
          this.working(() => ({
            letters: this.letters.slice(0, limit),
            next: after === null && this.letters.length > limit ? { at: 1, id: '1' } : null,
          })),
        get: (id) => this.working(() => one(id)),
        retry: (id, edited) =>
          this.working(() => {
            if (edited !== undefined) this.edited.push(edited);
            return take(id);
          }),
        retryAll: () => this.working(takeAll),
        remove: (id) => this.working(() => take(id)),
        removeAll: () => this.working(takeAll),
      },
      stats: () =>
        this.working(() => ({
          version: '0.1.0',
          uptime_s: 60,
          messages: 1,
          oldest_message_at: 1000,
          dead_letters: 2,
          lanes: [{ name: 'lane-0', waiting: 1, active: 0, delayed: 0 }],
          rates: { accepted: 0.5 },
          problems: [],
        })),
      readiness: () => this.working(() => this.checks),
      clients: {
        assign: (...request) => this.working(() => void this.desk.push(['assign', ...request])),
        withdraw: (...request) => this.working(() => void this.desk.push(['withdraw', ...request])),
        delivery: (clientid) => this.working(() => this.deliveries[clientid] ?? null),
        explanation: () => this.working(() => this.explanations),
      },
      store: {
        getClientState: (clientid) => this.working(() => this.states.find((state) => state.clientid === clientid) ?? null),
        listSubscriptions: (clientid) => this.working(() => this.subscriptions.filter((each) => each.clientid === clientid)),
        listPositions: (consumer, after, limit) =>
          this.working(() => this.positions.filter((each) => each.consumer === consumer && each.topic > after).slice(0, limit)),
        getMessage: (id) => this.working(() => this.messages.find((message) => message.id === id) ?? null),
        listTopics: ({ filter, after, limit }) =>
          this.working(() => {
            const topics = [...new Set(this.messages.map(({ topic }) => topic))].sort();
            return topics.filter((topic) => topic > after && matches(filter, topic)).slice(0, limit);
          }),
        topicCounts: (topics) =>
          this.working(
            () =>
              new Map(
                topics.map((topic) => {
                  const own = this.messages.filter((message) => message.topic === topic && (message.expiresAt ?? Infinity) > NOW);
                  const times = own.map(({ publishReceivedAt }) => publishReceivedAt);
                  return [topic, { messages: own.length, oldestAt: times.length === 0 ? null : Math.min(...times) }];
                }),
              ),
          ),
        listMessages: ({ topic, after, limit, now }) =>
          this.working(() =>
            this.messages
              .filter((message) => message.topic === topic && message.id > after && (message.expiresAt ?? Infinity) > now)
              .sort((a, b) => (a.id < b.id ? -1 : 1))
              .slice(0, limit),
          ),
        listRetained: ({ filter, after, limit }) =>
          this.working(() =>
            this.retained
              .filter(({ topic }) => topic > after && matches(filter, topic))
              .sort((a, b) => (a.topic < b.topic ? -1 : 1))
              .slice(0, limit),
          ),
        removeMessages: (refs, until) => this.working(() => this.remove(refs, until)),
      },
    };
  }

  private remove(refs: readonly MessageRef[], until: number): number {
    const before = this.messages.length;
    for (const { id } of refs) this.tombstones.set(id, until);
    this.messages = this.messages.filter(({ id }) => !refs.some((ref) => ref.id === id));
    return before - this.messages.length;
  }
}

export function storedMessage(fields: Partial<Message> & Pick<Message, 'id' | 'topic'>): Message {
  return {
    clientid: 'pub',
    username: null,
    qos: 1,
    retain: false,
    payload: Buffer.from('hello'),
    publishReceivedAt: 1000,
    expiresAt: null,
    properties: {},
    ...fields,
  };
}

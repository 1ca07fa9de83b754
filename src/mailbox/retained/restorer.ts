import type { Policy } from '../../config/policies';
import type { Delivery, EmqxApi } from '../../emqx/api';
import type { RetainerApi } from '../../emqx/retainer';
import { RefusedError } from '../../base/errors';
import type { Logger } from '../../base/log';
import type { Metrics } from '../../base/metrics';
import type { Lanes } from '../../lanes/lanes';
import type { RestoreCounts, RestoreStep, RetainedJob } from '../../lanes/jobs';
import { Outcomes, type RequestState } from '../../lanes/outcomes';
import type { SharedState } from '../../lanes/state';
import type { Store } from '../../stores/store';
import { deliveryOf } from '../delivery';
import type { Message } from '../../mqtt/message';
import { eachOf } from '../../base/parallel';
import { retainOf } from '../../policies/policy';
import { RestoredCopies } from './restored-copies';
import { RetainedIds } from './retained-ids';
import type { Address, Signer } from '../signature';
import { GRACE_MS } from '../times';

/** Messages of one step: they may have 1 MB each. */
const PAGE = 32;
/** Between two steps: at most about 300 messages a second. Over its retainer.max_publish_rate EMQX delivers a message and does not retain it. */
const PACE_MS = 100;
/** Requests at a time. */
const PARALLEL = 8;
const LEASE_OWNER = 'restore';
const FOR_NOBODY: Address = { mailbox: '', kind: 'retained' };

export interface RestorerDeps {
  readonly store: Pick<Store, 'listRetained'>;
  readonly emqx: Pick<EmqxApi, 'publish'>;
  readonly retainer: RetainerApi;
  readonly state: SharedState;
  readonly lanes: Pick<Lanes, 'restore'>;
  readonly policies: readonly Policy[];
  readonly signer: Signer;
  readonly metrics: Pick<Metrics, 'retainedRestored'>;
  readonly log: Logger;
  readonly now: () => number;
}

/**
 * Publishes retained messages back, what the broker lacks only. Page by page, each a job with the place it has come to: it goes on where
 * it was after a crash, and waits while EMQX is away. All of it runs in one lane, one job at a time.
 */
export class Restorer {
  private readonly copies: RestoredCopies;
  private readonly ids: RetainedIds;
  private readonly outcomes: Outcomes;

  constructor(private readonly deps: RestorerDeps) {
    this.copies = new RestoredCopies(deps.state);
    this.ids = new RetainedIds(deps.state);
    this.outcomes = new Outcomes(deps.state);
  }

  async handle(job: RetainedJob): Promise<void> {
    switch (job.name) {
      case 'restore':
        return this.restorePage(job.data);
      case 'reconcile':
        return eachOf(job.data.topics, PARALLEL, (topic) => this.reconcile(topic));
    }
  }

  private async restorePage(step: RestoreStep): Promise<void> {
    const { log, lanes, retainer } = this.deps;
    if (step.after === '' && !(await retainer.isOn())) {
      await this.note(step, 'failed', "EMQX's retainer is off: nothing was restored.");
      return log.warn("EMQX's retainer is off: nothing was restored");
    }
    const page = await this.page(step);
    const last = page.at(-1);
    if (last === undefined) {
      await this.note(step, 'done', doneText(countsOf(step)));
      return log.info({ filter: step.filter }, 'retained messages are restored');
    }
    const due = page.filter((message) => this.isDue(step, message));
    const so = sumOf(countsOf(step), await this.restore(step, due));
    const next: RestoreStep = { ...stepOf(step), after: last.topic, ...(step.requestId !== undefined && { so }) };
    await this.note(next, 'running', `The server goes through the topics and has come to ${last.topic.slice(0, 200)}.`);
    await lanes.restore(next, PACE_MS);
  }

  /** For the operator who asked for it. */
  private async note(step: RestoreStep, state: RequestState, detail: string): Promise<void> {
    const { requestId, filter } = step;
    if (requestId !== undefined) await this.outcomes.noteRestore(requestId, { filter, state, ...countsOf(step), detail });
  }

  private page({ filter, after }: RestoreStep): Promise<Message[]> {
    return this.deps.store.listRetained({ filter, after, limit: PAGE });
  }

  /** What was published since the broker started was there for it to retain: if it isn't now, somebody deleted it. */
  private isDue({ before }: RestoreStep, message: Message): boolean {
    const retain = retainOf(this.deps.policies, message.topic);
    const wanted = before === null ? retain !== 'off' : retain === 'restore' && message.publishReceivedAt < before;
    return wanted && this.isAlive(message);
  }

  private isAlive({ payload, expiresAt }: Message): boolean {
    return payload.length > 0 && (expiresAt === null || expiresAt > this.deps.now());
  }

  /**
   * First the note, then the reading: a publish or deletion whose event is applied after the reading finds the note and asks for
   * `reconcile` (RetainedKeeper). Then the broker is asked topic by topic, right before the publish: what it has is never replaced.
   */
  private async restore(step: RestoreStep, due: readonly Message[]): Promise<RestoreCounts> {
    const { absent, unknown } = await this.absentOf(due);
    const kept = due.length - absent.length - unknown;
    if (absent.length === 0) return { published: 0, kept, failed: unknown };
    await eachOf(absent, PARALLEL, ({ topic, id }) => this.copies.note(topic, { copyId: null, id }));
    const noted = new Set(absent.map(({ topic }) => topic));
    const current = (await this.page(step)).filter((message) => noted.has(message.topic) && this.isDue(step, message));
    const { absent: missing } = await this.absentOf(current);
    const restored = await this.publish(missing);
    await eachOf(
      [...noted].filter((topic) => !restored.has(topic)),
      PARALLEL,
      (topic) => this.copies.forget(topic),
    );
    const failed = missing.length - restored.size;
    return { published: restored.size, kept: kept + absent.length - missing.length, failed: unknown + failed };
  }

  /** `unknown`: for how many EMQX can't be asked. */
  private async absentOf(messages: readonly Message[]): Promise<{ absent: Message[]; unknown: number }> {
    const absent: Message[] = [];
    let unknown = 0;
    await eachOf(messages, PARALLEL, async (message) => {
      const copyId = await this.idOf(message.topic);
      if (copyId === null) absent.push(message);
      else if (copyId === undefined) unknown++;
      else await this.recognize(message, copyId);
    });
    return { absent, unknown };
  }

  /** undefined: EMQX can't be asked about the topic, so nothing is published over what it may have; the others don't wait for it. */
  private async idOf(topic: string): Promise<string | null | undefined> {
    try {
      return await this.deps.retainer.idOf(topic);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.deps.log.warn({ topic: topic.slice(0, 200), reason: error.message }, 'a retained message is not restored');
      return undefined;
    }
  }

  /** We published it and died before we knew EMQX's id of it. */
  private async recognize({ topic }: Message, copyId: string): Promise<void> {
    const copy = await this.copies.of(topic);
    if (copy !== null && copy.copyId === null && copyId > copy.id) await this.copies.note(topic, { ...copy, copyId });
  }

  /** @returns the topics that EMQX retains now. */
  private async publish(messages: readonly Message[]): Promise<Set<string>> {
    const { emqx, metrics, log, state } = this.deps;
    const retained = new Set<string>();
    if (messages.length === 0) return retained;
    // Who subscribes meanwhile gets it from EMQX now, not from us too.
    await this.ids.note(messages.map((message) => ({ ...message, retain: true })));
    await state.lease(
      messages.map(({ id }) => ({ name: id, owner: LEASE_OWNER })),
      GRACE_MS,
    );
    const outcomes = await emqx.publish(messages.map((message) => this.retainedDelivery(message)));
    await eachOf(messages, PARALLEL, async (message) => {
      const outcome = outcomes[messages.indexOf(message)];
      const copyId = await this.deps.retainer.idOf(message.topic);
      metrics.retainedRestored.inc({ outcome: copyId === null ? 'refused' : 'restored' });
      // It says nothing of messages that it does not retain: larger than its limit, over its rate, its table full.
      if (copyId === null)
        return log.warn({ topic: message.topic, outcome }, 'EMQX did not retain a restored message; its log may say why');
      retained.add(message.topic);
      await this.copies.note(message.topic, { copyId, id: message.id });
    });
    return retained;
  }

  private retainedDelivery(message: Message): Delivery {
    const { topic, qos } = message;
    return { ...deliveryOf(message, { topic, qos, now: this.deps.now() }, this.deps.signer, FOR_NOBODY), retain: true };
  }

  /** Only as long as EMQX has our own copy: a later publish of a client is its owner's word. */
  private async reconcile(topic: string): Promise<void> {
    const copy = await this.copies.of(topic);
    if (copy === null || copy.copyId === null || (await this.deps.retainer.idOf(topic)) !== copy.copyId) return;
    const [stored] = await this.deps.store.listRetained({ filter: topic, after: '', limit: 1 });
    if (stored !== undefined && this.isAlive(stored)) {
      if (stored.id !== copy.id) await this.publish([stored]);
      return;
    }
    const newest = await this.ids.newest(topic);
    // An empty payload deletes; expired ones EMQX deletes itself.
    if (stored === undefined) await this.deps.emqx.publish([this.clearing(topic, newest?.id ?? copy.id)]);
    await this.copies.forget(topic);
  }

  private clearing(topic: string, id: string): Delivery {
    const { properties } = deliveryOf({ id, properties: {} } as Message, { topic, qos: 0, now: 0 }, this.deps.signer, FOR_NOBODY);
    return { topic, qos: 0, retain: true, payload: Buffer.alloc(0), properties };
  }
}

const NOTHING: RestoreCounts = { published: 0, kept: 0, failed: 0 };

function countsOf({ so = NOTHING }: RestoreStep): RestoreCounts {
  return so;
}

function sumOf(a: RestoreCounts, b: RestoreCounts): RestoreCounts {
  return { published: a.published + b.published, kept: a.kept + b.kept, failed: a.failed + b.failed };
}

/** Without what the job's wait for writes has left in it (gate.ts): the next page waits anew. */
function stepOf({ filter, before, requestId }: RestoreStep): Omit<RestoreStep, 'after'> {
  return { filter, before, ...(requestId !== undefined && { requestId }) };
}

function doneText({ published, kept, failed }: RestoreCounts): string {
  const refused = failed === 0 ? '' : ` EMQX did not retain ${failed}; the log of the server says which.`;
  return `${published} retained ${published === 1 ? 'message was' : 'messages were'} published. EMQX had a retained message for ${kept} ${kept === 1 ? 'topic' : 'topics'}, which stays.${refused}`;
}

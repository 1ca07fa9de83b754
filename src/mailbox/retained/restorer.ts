import type { Policy } from '../../config/policies';
import type { Delivery, EmqxApi } from '../../emqx/api';
import type { RetainerApi } from '../../emqx/retainer';
import { RefusedError } from '../../base/errors';
import { atMostEvery, type Logger } from '../../base/log';
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
import { RestoreProgress } from './restore-progress';
import { RestoredCopies } from './restored-copies';
import { RetainedIds } from './retained-ids';
import type { Address, Signer } from '../signature';
import { GRACE_MS } from '../times';

/** Messages of one step. A message may have 1 MB. */
const PAGE = 32;
/**
 * The pause between two steps (ms), which gives at most about 300 messages a second. Above its
 * retainer.max_publish_rate EMQX delivers a message but does not retain it.
 */
const PACE_MS = 100;
/** Parallel requests to EMQX. */
const PARALLEL = 8;
const LEASE_OWNER = 'restore';
/** A broker may refuse any number of messages: the log has one line of each kind in this time. */
const LOG_MS = 60_000;
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
 * Publishes the retained messages that the broker lacks. Each page is a job that holds the place it has reached, so a
 * restore continues there after a crash, and waits while EMQX is away. All restores run in one lane, one job at a time.
 */
export class Restorer {
  private readonly copies: RestoredCopies;
  private readonly ids: RetainedIds;
  private readonly unnamed: (fields: object) => void;
  private readonly unretained: (fields: object) => void;
  private readonly outcomes: Outcomes;
  private readonly progress: RestoreProgress;

  constructor(private readonly deps: RestorerDeps) {
    this.progress = new RestoreProgress(deps.log, deps.now);
    this.copies = new RestoredCopies(deps.state);
    this.ids = new RetainedIds(deps.state);
    const { log } = deps;
    this.unnamed = atMostEvery(LOG_MS, (fields) => log.warn(fields, 'retained message not restored: EMQX cannot be asked about its topic'));
    this.unretained = atMostEvery(LOG_MS, (fields) =>
      log.warn(fields, 'EMQX did not retain a restored message; look into its log for the reason'),
    );
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
      return log.warn({ filter: step.filter }, "EMQX's retainer is off: no retained message is restored");
    }
    const page = await this.page(step);
    const last = page.at(-1);
    if (last === undefined) {
      await this.note(step, 'done', doneText(countsOf(step)));
      return log.info({ filter: step.filter, published: this.progress.end(step.filter) }, 'all retained messages are restored');
    }
    const due = page.filter((message) => this.isDue(step, message));
    const counts = await this.restore(step, due);
    this.progress.add(step.filter, counts.published);
    const so = sumOf(countsOf(step), counts);
    const next: RestoreStep = { ...stepOf(step), after: last.topic, ...(step.requestId !== undefined && { so }) };
    await this.note(next, 'running', `The server goes through the topics and has come to ${last.topic.slice(0, 200)}.`);
    await lanes.restore(next, PACE_MS);
  }

  /** Notes the outcome for the operator who asked for the restore. */
  private async note(step: RestoreStep, state: RequestState, detail: string): Promise<void> {
    const { requestId, filter } = step;
    if (requestId !== undefined) await this.outcomes.noteRestore(requestId, { filter, state, ...countsOf(step), detail });
  }

  private page({ filter, after }: RestoreStep): Promise<Message[]> {
    return this.deps.store.listRetained({ filter, after, limit: PAGE });
  }

  /**
   * EMQX has had the chance to retain a message that was published after the broker's start. If the message is missing
   * now, a client deleted it.
   */
  private isDue({ before }: RestoreStep, message: Message): boolean {
    const retain = retainOf(this.deps.policies, message.topic);
    const wanted = before === null ? retain !== 'off' : retain === 'restore' && message.publishReceivedAt < before;
    return wanted && this.isAlive(message);
  }

  private isAlive({ payload, expiresAt }: Message): boolean {
    return payload.length > 0 && (expiresAt === null || expiresAt > this.deps.now());
  }

  /**
   * The note comes before the second reading. If a publish or deletion is applied after that reading, RetainedKeeper
   * finds the note and asks for `reconcile`. Just before the publish EMQX is asked for each topic, so that nothing that
   * EMQX has is replaced.
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

  /**
   * undefined if EMQX can't answer for this topic. The server then publishes nothing to it, because EMQX may have a
   * message there. The other topics don't wait for it.
   */
  private async idOf(topic: string): Promise<string | null | undefined> {
    try {
      return await this.deps.retainer.idOf(topic);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.unnamed({ topic, reason: error.message });
      return undefined;
    }
  }

  /** A process published this copy and died before it knew EMQX's id of it. */
  private async recognize({ topic }: Message, copyId: string): Promise<void> {
    const copy = await this.copies.of(topic);
    if (copy !== null && copy.copyId === null && copyId > copy.id) await this.copies.note(topic, { ...copy, copyId });
  }

  /** @returns the topics of which EMQX retains the message now. */
  private async publish(messages: readonly Message[]): Promise<Set<string>> {
    const { emqx, metrics, state } = this.deps;
    const retained = new Set<string>();
    if (messages.length === 0) return retained;
    // A client that subscribes meanwhile gets the message from EMQX. The claim keeps the server from sending it as
    // well.
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
      // EMQX's answer does not show that it did not retain a message: the message may be larger than the limit, above
      // the rate, or the table may be full.
      if (copyId === null) return this.unretained({ event_id: message.id, topic: message.topic, outcome: outcome?.result });
      retained.add(message.topic);
      await this.copies.note(message.topic, { copyId, id: message.id });
    });
    return retained;
  }

  private retainedDelivery(message: Message): Delivery {
    const { topic, qos } = message;
    return { ...deliveryOf(message, { topic, qos, now: this.deps.now() }, this.deps.signer, FOR_NOBODY), retain: true };
  }

  /** Only done while EMQX still has the server's own copy. A client's later publish must not be replaced. */
  private async reconcile(topic: string): Promise<void> {
    const copy = await this.copies.of(topic);
    if (copy === null || copy.copyId === null || (await this.deps.retainer.idOf(topic)) !== copy.copyId) return;
    const [stored] = await this.deps.store.listRetained({ filter: topic, after: '', limit: 1 });
    if (stored !== undefined && this.isAlive(stored)) {
      if (stored.id !== copy.id) await this.publish([stored]);
      return;
    }
    const newest = await this.ids.newest(topic);
    // A publish with an empty payload deletes the retained message. EMQX itself deletes expired ones.
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

import { eachOf } from '../../base/parallel';
import type { Logger } from '../../base/log';
import type { Policy } from '../../config/policies';
import type { RetainerApi } from '../../emqx/retainer';
import type { RestoreCounts, RestoreStep, RetainedJob } from '../../lanes/jobs';
import type { Lanes } from '../../lanes/lanes';
import { Outcomes, type RequestState } from '../../lanes/outcomes';
import type { SharedState } from '../../lanes/state';
import type { Message } from '../../mqtt/message';
import { retainOf } from '../../policies/policy';
import type { Store } from '../../stores/store';
import { RestoreProgress } from './restore-progress';
import { RestoredCopies } from './restored-copies';
import { RetainedIds } from './retained-ids';
import { PARALLEL, RetainedPublisher, type RetainedPublisherDeps } from './retained-publisher';

/** Messages of one step. A message may have 1 MB. */
const PAGE = 32;
/**
 * The pause between two steps (ms), which gives at most about 300 messages a second. Above its
 * retainer.max_publish_rate EMQX delivers a message but does not retain it.
 */
const PACE_MS = 100;

export interface RestorerDeps extends Omit<RetainedPublisherDeps, 'copies' | 'ids'> {
  readonly store: Pick<Store, 'listRetained'>;
  readonly retainer: RetainerApi;
  readonly state: SharedState;
  readonly lanes: Pick<Lanes, 'restore'>;
  readonly policies: readonly Policy[];
  readonly log: Logger;
}

/**
 * Publishes the retained messages that EMQX lacks, page by page. Each page is a job that holds the place it has reached,
 * so a restore continues there after a crash, and waits while EMQX is away. All restores run in one lane, one job at a
 * time.
 */
export class Restorer {
  private readonly copies: RestoredCopies;
  private readonly ids: RetainedIds;
  private readonly publisher: RetainedPublisher;
  private readonly outcomes: Outcomes;
  private readonly progress: RestoreProgress;

  constructor(private readonly deps: RestorerDeps) {
    this.copies = new RestoredCopies(deps.state);
    this.ids = new RetainedIds(deps.state);
    this.publisher = new RetainedPublisher({ ...deps, copies: this.copies, ids: this.ids });
    this.outcomes = new Outcomes(deps.state);
    this.progress = new RestoreProgress(deps.log, deps.now);
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
    const { absent, unknown } = await this.publisher.absentOf(due);
    const kept = due.length - absent.length - unknown;
    if (absent.length === 0) return { published: 0, kept, failed: unknown };
    await eachOf(absent, PARALLEL, ({ topic, id }) => this.copies.note(topic, { copyId: null, id }));
    const noted = new Set(absent.map(({ topic }) => topic));
    const current = (await this.page(step)).filter((message) => noted.has(message.topic) && this.isDue(step, message));
    const { absent: missing } = await this.publisher.absentOf(current);
    const restored = await this.publisher.publish(missing);
    await eachOf(
      [...noted].filter((topic) => !restored.has(topic)),
      PARALLEL,
      (topic) => this.copies.forget(topic),
    );
    const failed = missing.length - restored.size;
    return { published: restored.size, kept: kept + absent.length - missing.length, failed: unknown + failed };
  }

  /** Only done while EMQX still has the server's own copy. A client's later publish must not be replaced. */
  private async reconcile(topic: string): Promise<void> {
    const copy = await this.copies.of(topic);
    if (copy === null || copy.copyId === null || (await this.deps.retainer.idOf(topic)) !== copy.copyId) return;
    const [stored] = await this.deps.store.listRetained({ filter: topic, after: '', limit: 1 });
    if (stored !== undefined && this.isAlive(stored)) {
      if (stored.id !== copy.id) await this.publisher.publish([stored]);
      return;
    }
    const newest = await this.ids.newest(topic);
    // EMQX itself deletes expired messages.
    if (stored === undefined) await this.publisher.clear(topic, newest?.id ?? copy.id);
    await this.copies.forget(topic);
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

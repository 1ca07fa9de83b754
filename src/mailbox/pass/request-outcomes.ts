import { errorText } from '../../base/errors';
import type { MailEvent } from '../../lanes/jobs';
import type { DeliveryOutcome } from '../../lanes/outcomes';
import { isRun } from '../box/fact';
import { hasLeft, type Mailbox, type Run } from '../box/mailbox';

/** What a pass did for one mailbox, as far as requests of operators are concerned. */
export interface PassResult {
  readonly events: readonly MailEvent[];
  /** Before and after the pass. */
  readonly before: Mailbox;
  readonly after: Mailbox;
  /** How many messages the pass sent, by request. */
  readonly sentFor: ReadonlyMap<string, number>;
  /** Requests that ended because EMQX had no subscriber for what was sent. */
  readonly unheard: ReadonlySet<string>;
  /** What failed for the mailbox; null: nothing. */
  readonly error: unknown;
}

type Asked = Pick<Run, 'clientid' | 'filter'>;

/** How far the requests are that the mailbox serves, by their ids. Pure. */
export function requestOutcomes(result: PassResult): Map<string, DeliveryOutcome> {
  const asked = new Map<string, Asked>();
  for (const run of [...result.before.runs, ...result.after.runs]) for (const id of run.requests ?? []) asked.set(id, run);
  for (const event of result.events) {
    if (event.kind === 'deliver' && event.request.requestId !== undefined) asked.set(event.request.requestId, event.request);
  }
  return new Map(
    [...asked].map(([id, { clientid, filter }]) => [id, { clientid, filter, ...outcomeOf(id, { clientid, filter }, result) }]),
  );
}

function outcomeOf(id: string, asked: Asked, result: PassResult): Pick<DeliveryOutcome, 'state' | 'sent' | 'detail'> {
  const serves = (run: Run): boolean => run.requests?.includes(id) === true;
  const [before, after] = [result.before.runs.find(serves), result.after.runs.find(serves)];
  if (after !== undefined && hasFinished(after)) return done(after.sent);
  if (result.error !== null)
    return { state: 'running', sent: after?.sent ?? 0, detail: `The server tries again after an error: ${errorText(result.error)}` };
  if (after !== undefined)
    return { state: 'running', sent: after.sent, detail: 'The server is sending, or waits for acknowledgements that make room for more.' };
  const sent = (before?.sent ?? 0) + (result.sentFor.get(id) ?? 0);
  if (before !== undefined && hasFinished(before)) return done(sent);
  return ended(id, asked, result, sent);
}

/** The run has read everything; later it may look once more for late publishes. */
function hasFinished({ cursor, looks }: Run): boolean {
  return cursor === null || looks > 0;
}

function done(sent: number): Pick<DeliveryOutcome, 'state' | 'sent' | 'detail'> {
  const detail =
    sent === 0
      ? 'Nothing was left to send: no stored message matches, or the client has or gets the matching messages already.'
      : `${sent} ${sent === 1 ? 'message was' : 'messages were'} sent to EMQX for this client. Whether the client has acknowledged them, GET /v1/clients/{clientid} says.`;
  return { state: 'done', sent, detail };
}

/** The run is gone before it had read everything. */
function ended(id: string, asked: Asked, { after, unheard }: PassResult, sent: number): Pick<DeliveryOutcome, 'state' | 'sent' | 'detail'> {
  if (unheard.has(id))
    return {
      state: 'failed',
      sent,
      detail: 'EMQX has no subscriber for the messages: the client is not connected, or not subscribed to their topic. They stay stored.',
    };
  if (hasLeft(after, asked.clientid, asked.filter))
    return { state: 'failed', sent, detail: 'The client has unsubscribed. Messages that were not sent stay stored.' };
  if (after.runs.some((run) => isRun(run, asked)))
    return { state: 'done', sent, detail: 'The client subscribed again. The delivery goes on for the newer subscription.' };
  if (asked.filter.startsWith('$queue/') && sent === 0)
    return { state: 'done', sent, detail: 'EMQX keeps and delivers the messages of a queue itself: the server sends nothing for it.' };
  if (after.session?.connected !== true)
    return { state: 'failed', sent, detail: 'The client is not connected. Messages that were not sent stay stored.' };
  return {
    state: 'failed',
    sent,
    detail: 'The delivery ended before everything was read, because the client takes no messages. Messages that were not sent stay stored.',
  };
}

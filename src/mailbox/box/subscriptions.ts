import { matches, splitShare } from '../../mqtt/topic';
import { GRACE_MS, STORM_MS } from '../times';
import { presentAgain } from './connections';
import { isRun, kept, type Of, type Stepped } from './fact';
import { mayBeDurable, needsAnswer, rememberFilter } from './freshness';
import { lost, marked, wanted, withoutTries } from './losses';
import { isGroup, START, type Copy, type Left, type Mailbox, type Run, type Session } from './mailbox';

/** How subscriptions change a mailbox: they begin and end runs. */

const MOST_LEFT = 64;
const MOST_MEMBERS = 8;

/** Begins a run at the filter's start. A second event of one storm does not begin another run (promise 9). */
export function subscribed(mailbox: Mailbox, request: Of<'subscribed'>['request'], now: number): Stepped {
  const { clientid, filter, qos, at } = request;
  if (mailbox.left.some((left) => isRun(left, request) && left.at >= at)) return kept(mailbox);
  const isOwn = (run: Run) => run.filter === filter && (!isGroup(mailbox) || run.clientid === clientid);
  const before = mailbox.runs.find(isOwn);
  // The job with this event is repeated.
  if (before !== undefined && before.requestedAt === at && before.qos === qos) return kept(mailbox);
  const isOfThisConnection =
    before !== undefined && (mailbox.session === null || before.at >= mailbox.session.connectedAt || at < mailbox.session.connectedAt);
  const isStorm = before !== undefined && isOfThisConnection && at < before.at + STORM_MS;
  if (isStorm && (before.qos === qos || at < before.requestedAt)) return kept(repeatedly(mailbox, before, request, now));
  const isShared = splitShare(filter).group !== null;
  const known = mailbox.left.find((left) => isRun(left, request));
  const hadAt = isStorm ? before.hadAt : latest(before?.requestedAt, known?.at);
  const run: Run = {
    ...{
      clientid,
      filter,
      qos,
      at: isStorm ? before.at : at,
      requestedAt: at,
      cursor: START,
      behind: 'note',
      gathers: isGroup(mailbox) ? 1 : 0,
    },
    ...{
      sent: isStorm ? before.sent : 0,
      window: null,
      leavesRetained: !isShared,
      lookAt: now + GRACE_MS,
      looks: 0,
      isBlocked: false,
      hasInbox: false,
    },
    ...(hadAt !== undefined && { hadAt }),
    ...requestsOf(isStorm ? before : undefined, request),
  };
  const others = mailbox.runs.filter((each) => !isOwn(each));
  const ofFilter = others.filter((each) => each.filter === filter).slice(0, MOST_MEMBERS - 1);
  const runs = [...others.filter((each) => each.filter !== filter), run, ...ofFilter];
  // The new run reads these messages, so they are not sent again separately.
  const again = mailbox.again.filter(({ topic }) => !matches(splitShare(filter).filter, topic));
  const isInDoubt = needsAnswer(mailbox, request);
  const isAsked = isInDoubt || (!isGroup(mailbox) && mayBeDurable(mailbox));
  const left =
    known === undefined
      ? mailbox.left
      : [{ ...known, backAt: latest(at, known.backAt) ?? at }, ...mailbox.left.filter((each) => each !== known)];
  const next: Mailbox = {
    ...mailbox,
    session: askedFor(presentAgain(mailbox.session), isInDoubt, isAsked),
    runs,
    again,
    left,
    rounds: 0,
    ...(again.length === 0 && { retryAt: null, budget: 0 }),
    ...(isAsked && { askAt: now, asks: 0 }),
  };
  if (!isGroup(mailbox)) return kept(rememberFilter(next, request));
  // Copies that other members have had for longer than GRACE_MS are sent to this member.
  const isOld = (copy: Copy): boolean => copy.filter === filter && copy.sentAt < at - GRACE_MS;
  return lost({ ...next, out: marked(next.out, isOld) }, now);
}

/** How many requests of operators one run tells about. */
const MOST_REQUESTS = 8;

function requestsOf(before: Run | undefined, { requestId }: Of<'subscribed'>['request']): Pick<Run, 'requests'> {
  const known = before?.requests ?? [];
  if (requestId === undefined || known.includes(requestId)) return known.length === 0 ? {} : { requests: known };
  return { requests: [...known, requestId].slice(-MOST_REQUESTS) };
}

/**
 * Notes whether EMQX is asked only for the kind of the session (`isDurable` is null). Then its answer causes no wait.
 */
function askedFor(session: Session | null, isInDoubt: boolean, isAsked: boolean): Session | null {
  if (session === null || typeof session.isDurable === 'boolean' || !isAsked) return session;
  const { isDurable, ...rest } = session;
  return isInDoubt ? rest : { ...rest, isDurable: isDurable ?? null };
}

/**
 * A second subscription of one storm. It may belong to another connection that no event has told of yet. That
 * connection has received nothing of what was sent to the first one, so EMQX is asked.
 */
function repeatedly(mailbox: Mailbox, run: Run, request: Of<'subscribed'>['request'], now: number): Mailbox {
  const { at } = request;
  const { session, runs } = mailbox;
  const isTold = session?.isTold === true;
  // The first event of the storm may arrive last. The run begins at the earlier time, because EMQX has delivered what
  // was published after it.
  const isEarlier = at < run.at && at >= (session?.connectedAt ?? -Infinity);
  const began = isEarlier && at > run.at - STORM_MS ? at : run.at;
  // Members' acknowledgements that were accepted before this request may still wait in the lanes. Example: m2's run has
  // waited for the lanes when m1 acknowledges a message and m2 subscribes again; without another wait m2 is sent it.
  const waits = isGroup(mailbox) ? ({ behind: 'note', gathers: 1 } as const) : {};
  const noted = runs.map((each): Run =>
    each === run ? { ...run, ...waits, at: began, requestedAt: Math.max(at, run.requestedAt), ...requestsOf(run, request) } : each,
  );
  const isBack = session?.connected === false && at > run.requestedAt;
  const isInDoubt = isBack || ((!isTold || isEarlier) && !isGroup(mailbox));
  return { ...mailbox, runs: noted, ...(isBack && { session: presentAgain(session) }), ...(isInDoubt && { askAt: now, asks: 0 }) };
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
}

export function unsubscribed(mailbox: Mailbox, fact: Of<'unsubscribed'>, now: number): Stepped {
  const { clientid, filter, at } = fact;
  const own = mailbox.runs.find((run) => isRun(run, fact));
  const known = mailbox.left.find((each) => isRun(each, fact));
  const backAt = latest(own?.requestedAt, known?.backAt);
  const newest: Left = { clientid, filter, at: Math.max(at, known?.at ?? at), ...(backAt !== undefined && { backAt }) };
  const isOver = own === undefined || own.requestedAt <= at;
  const left = [...mailbox.left.filter((each) => each !== known), newest].slice(-MOST_LEFT);
  if (own !== undefined && !isOver && own.at > at) return kept({ ...mailbox, left });
  const runs = mailbox.runs.filter((run) => run !== own);
  // The unsubscribe event arrived late: what looked like one storm were two subscriptions.
  if (own !== undefined && !isOver) return subscribed({ ...mailbox, runs, left }, { ...own, at: own.requestedAt }, now);
  const next = { ...mailbox, runs, left };
  return kept(withoutTries({ ...next, again: mailbox.again.flatMap((each) => wanted(next, each) ?? []) }));
}

import { matches, splitShare } from '../../mqtt/topic';
import { GRACE_MS, STORM_MS } from '../times';
import { presentAgain } from './connections';
import { isRun, kept, type Of, type Stepped } from './fact';
import { mayBeDurable, needsAnswer, rememberFilter } from './freshness';
import { lost, marked, wanted, withoutTries } from './losses';
import { isGroup, START, type Copy, type Left, type Mailbox, type Run, type Session } from './mailbox';

/** What subscriptions do to a mailbox: runs begin and end. */

const MOST_LEFT = 64;
const MOST_MEMBERS = 8;

/** Reads the filter from its start, unless that is what a moment ago was begun (promise 9). */
export function subscribed(mailbox: Mailbox, request: Of<'subscribed'>['request'], now: number): Stepped {
  const { clientid, filter, qos, at } = request;
  if (mailbox.left.some((left) => isRun(left, request) && left.at >= at)) return kept(mailbox);
  const isOwn = (run: Run) => run.filter === filter && (!isGroup(mailbox) || run.clientid === clientid);
  const before = mailbox.runs.find(isOwn);
  // Its job is done again.
  if (before !== undefined && before.requestedAt === at && before.qos === qos) return kept(mailbox);
  const isOfThisConnection =
    before !== undefined && (mailbox.session === null || before.at >= mailbox.session.connectedAt || at < mailbox.session.connectedAt);
  const isStorm = before !== undefined && isOfThisConnection && at < before.at + STORM_MS;
  if (isStorm && (before.qos === qos || at < before.requestedAt)) return kept(repeatedly(mailbox, before, request, now));
  const isShared = splitShare(filter).group !== null;
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
    ...requestsOf(isStorm ? before : undefined, request),
  };
  const others = mailbox.runs.filter((each) => !isOwn(each));
  const ofFilter = others.filter((each) => each.filter === filter).slice(0, MOST_MEMBERS - 1);
  const runs = [...others.filter((each) => each.filter !== filter), run, ...ofFilter];
  // The run reads in its place what EMQX had dropped.
  const again = mailbox.again.filter(({ topic }) => !matches(splitShare(filter).filter, topic));
  const isInDoubt = needsAnswer(mailbox, request);
  const isAsked = isInDoubt || (!isGroup(mailbox) && mayBeDurable(mailbox));
  const left = mailbox.left.filter((each) => !isRun(each, request));
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
  // What the group's other members have for longer than that is sent to this one.
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

/** Notes whether EMQX is asked only what kind of session it is: then its answer leaves nothing to be waited for. */
function askedFor(session: Session | null, isInDoubt: boolean, isAsked: boolean): Session | null {
  if (session === null || typeof session.isDurable === 'boolean' || !isAsked) return session;
  const { isDurable, ...rest } = session;
  return isInDoubt ? rest : { ...rest, isDurable: isDurable ?? null };
}

/** It may be another connection that nobody has told of yet, with nothing of what this one was sent. */
function repeatedly(mailbox: Mailbox, run: Run, request: Of<'subscribed'>['request'], now: number): Mailbox {
  const { at } = request;
  const { session, runs } = mailbox;
  const isTold = session?.isTold === true;
  // The first of the storm may come late: what was published after it EMQX has delivered.
  const isEarlier = at < run.at && at >= (session?.connectedAt ?? -Infinity);
  const began = isEarlier && at > run.at - STORM_MS ? at : run.at;
  const noted = runs.map((each) =>
    each === run ? { ...run, at: began, requestedAt: Math.max(at, run.requestedAt), ...requestsOf(run, request) } : each,
  );
  const isBack = session?.connected === false && at > run.requestedAt;
  const isInDoubt = isBack || ((!isTold || isEarlier) && !isGroup(mailbox));
  return { ...mailbox, runs: noted, ...(isBack && { session: presentAgain(session) }), ...(isInDoubt && { askAt: now, asks: 0 }) };
}

export function unsubscribed(mailbox: Mailbox, fact: Of<'unsubscribed'>, now: number): Stepped {
  const { clientid, filter, at } = fact;
  const newest: Left = { clientid, filter, at: Math.max(at, ...mailbox.left.filter((left) => isRun(left, fact)).map((left) => left.at)) };
  const own = mailbox.runs.find((run) => isRun(run, fact));
  const isOver = own === undefined || own.requestedAt <= at;
  const left = [...mailbox.left.filter((each) => !isRun(each, fact)), newest].slice(-MOST_LEFT);
  if (own !== undefined && !isOver && own.at > at) return kept({ ...mailbox, left });
  const runs = mailbox.runs.filter((run) => run !== own);
  // It was told late: what looked like one storm were two subscriptions.
  if (own !== undefined && !isOver) return subscribed({ ...mailbox, runs, left }, { ...own, at: own.requestedAt }, now);
  const next = { ...mailbox, runs, left };
  return kept(withoutTries({ ...next, again: mailbox.again.flatMap((each) => wanted(next, each) ?? []) }));
}

import type { components } from '../../contract/openapi';
import { isGroup, type Mailbox } from './mailbox';
import { planOf } from './plan';
import { at, counted, lasting } from './wording';

/** The part of explain.ts that is about copies in EMQX and about waiting. */

export type Explanation = components['schemas']['Explanation'];

/** An operator should look at a connected client that has acknowledged nothing for this long (ms). */
const SILENT_MS = 5 * 60_000;

/** What was sent and not acknowledged, and what EMQX holds. */
export function unacknowledged(mailbox: Mailbox, now: number): Explanation[] {
  const { out, held, movedAt, asks, session } = mailbox;
  const copies = [...out.values()];
  const found: Explanation[] = [];
  if (copies.length > 0) {
    const oldest = copies.reduce((first, { sentAt }) => Math.min(first, sentAt), Infinity);
    const text = `${counted(copies.length, 'message')} ${copies.length === 1 ? 'was' : 'were'} sent and ${copies.length === 1 ? 'is' : 'are'} not acknowledged, the oldest since ${lasting(now - oldest)}.`;
    found.push(waiting(text));
    const silentMs = now - movedAt;
    if (asks > 0 && session?.connected !== false) {
      const next = planOf(mailbox, now).wakeAt;
      const check = next === null || next <= now ? '' : ` The next check is at ${at(next, now)}.`;
      const silence = `The client has acknowledged nothing for ${lasting(silentMs)}. The server has asked EMQX ${counted(asks, 'time')} what became of the messages, and waits longer each time.${check}`;
      found.push(silentMs >= SILENT_MS ? problem(`${silence} Check whether the client acknowledges messages.`) : waiting(silence));
    }
  }
  const unsure = copies.filter(({ emqxId }) => emqxId === null).length;
  if (unsure > 0 && !isGroup(mailbox))
    found.push(
      waiting(
        `EMQX's answer about ${counted(unsure, 'message')} was lost. The server sends nothing newer until it knows whether EMQX has ${unsure === 1 ? 'it' : 'them'}.`,
      ),
    );
  const missing = copies.filter(({ isMissing }) => isMissing).length;
  if (missing > 0)
    found.push(
      waiting(
        `EMQX did not have ${counted(missing, 'sent message')} when it was asked at ${at(mailbox.askedAt, now)}. What is not acknowledged in a moment is sent again.`,
      ),
    );
  if (held.size > 0)
    found.push(
      info(
        `EMQX holds ${counted(held.size, 'message')} in the client's session and delivers ${held.size === 1 ? 'it' : 'them'} itself; the server does not send ${held.size === 1 ? 'it' : 'them'} as well.`,
      ),
    );
  return found;
}

/** What EMQX dropped or lost. */
export function repeats({ again, retryAt, rounds }: Mailbox, now: number): Explanation[] {
  if (again.length === 0) return [];
  const isOne = again.length === 1;
  const when = retryAt === null ? 'as the client acknowledges others' : `at ${at(retryAt, now)} (attempt ${rounds})`;
  return [
    waiting(
      `EMQX dropped or lost ${counted(again.length, 'message')} that ${isOne ? 'was' : 'were'} sent. The server sends ${isOne ? 'it' : 'them'} again ${when}, before anything newer.`,
    ),
  ];
}

/** Times before which nothing is sent. */
export function waits({ session, askAt, doubtUntil, doubtsBySilence, pausedUntil, runs, out }: Mailbox, now: number): Explanation[] {
  const isUseful = session?.connected !== false && (runs.some(({ cursor }) => cursor !== null) || out.size > 0);
  if (!isUseful) return [];
  return [
    ...(askAt !== null && askAt > now
      ? [waiting(`EMQX has messages of its own for the client, or has not answered. The server asks EMQX again at ${at(askAt, now)}.`)]
      : askAt === null
        ? []
        : [waiting('The server asks EMQX what it holds for the client before it sends anything.')]),
    ...(doubtUntil !== null && doubtUntil > now
      ? [
          waiting(
            doubtsBySilence
              ? `The server sends nothing until ${at(doubtUntil, now)} because this EMQX does not list what it holds: the server waits until the client has acknowledged it.`
              : `The server sends nothing until ${at(doubtUntil, now)} because acknowledgements may still be on their way.`,
          ),
        ]
      : []),
    ...(pausedUntil !== null && pausedUntil > now
      ? [
          waiting(
            `The delivery is paused until ${at(pausedUntil, now)}: a pause paces QoS 0 messages, or another server process may have sent the same messages.`,
          ),
        ]
      : []),
  ];
}

export const ok = (text: string): Explanation => ({ level: 'ok', text });
export const info = (text: string): Explanation => ({ level: 'info', text });
export const waiting = (text: string): Explanation => ({ level: 'waiting', text });
export const problem = (text: string): Explanation => ({ level: 'problem', text });

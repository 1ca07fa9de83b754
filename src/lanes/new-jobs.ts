import type { BulkJobOptions } from 'bullmq';
import { groupBy } from '../base/parallel';
import { split } from '../base/split';
import { toWire, type Message } from '../mqtt/message';
import type { HistoryJob, MailEvent, MailJob, MessageEvent, MessageJob } from './jobs';
import { clientLane, laneOf, messageLane, type LaneCounts } from './names';
import { sizedMessage, sizeOf, type Sized } from './sizes';

/** How events become the jobs of their lanes: few jobs, none of them large. */

/** The limits of one job. A lane's consumer handles several small jobs at once. */
export const MAX_JOB_EVENTS = 256;
/** This limit is higher, because most events of mailboxes are small. */
export const MAX_MAIL_EVENTS = 512;
export const MAX_JOB_BYTES = 4 * 1024 * 1024;

/** If `delayMs` is 0 or absent, the job may run at once. */
export interface NewJob {
  readonly lane: string;
  readonly name: string;
  readonly data: object;
  readonly delayMs?: number;
}

/** Makes one job for each lane, or several if one would be too large. */
export function writeJobs(events: readonly Sized<MessageEvent>[], counts: LaneCounts): NewJob[] {
  const byLane = groupBy(events, ({ event }) => messageLane(laneOf(topicOf(event), counts.messages)));
  return [...byLane].flatMap(([lane, own]) => jobsOf<MessageJob>(lane, 'events', own, MAX_JOB_EVENTS));
}

export function mailJobs(events: readonly Sized<MailEvent>[], counts: LaneCounts): NewJob[] {
  const byLane = groupBy(events, ({ event }) => clientLane(laneOf(event.to, counts.clients)));
  return [...byLane].flatMap(([lane, own]) => jobsOf<MailJob>(lane, 'mail', own, MAX_MAIL_EVENTS));
}

export function historyJobs(lane: string, messages: readonly Message[]): NewJob[] {
  const events = messages.map((message) => sizedMessage(toWire(message)));
  return jobsOf<HistoryJob>(lane, 'history', events, MAX_JOB_EVENTS);
}

/** One job for the events, or several if one would have more than `most` or be too large. */
function jobsOf<J extends MessageJob | MailJob | HistoryJob>(
  lane: string,
  name: J['name'],
  events: readonly Sized<J['data']['events'][number]>[],
  most: number,
): NewJob[] {
  return split(events, most, MAX_JOB_BYTES, ({ bytes }) => bytes).map((part) => ({
    lane,
    name,
    data: { events: part.map(({ event }) => event), bytes: sizeOf(part) },
  }));
}

export function toBullmq({ name, data, delayMs = 0 }: NewJob): { name: string; data: object; opts: BulkJobOptions } {
  return { name, data, opts: { removeOnComplete: true, ...(delayMs > 0 && { delay: delayMs }) } };
}

function topicOf(event: MessageEvent): string {
  return event.kind === 'publish' ? event.message.topic : event.topic;
}

import type { HistoryJob, MessageJob } from './jobs';

/** Splits jobs into parts that can fail independently: one event, or one message. */

export function splitMessages(job: MessageJob): MessageJob[] {
  return job.data.events.map((event) => ({ ...job, data: { ...job.data, events: [event] } }));
}

export function splitHistory(job: HistoryJob): HistoryJob[] {
  return job.data.events.map((message) => ({ ...job, data: { ...job.data, events: [message] } }));
}

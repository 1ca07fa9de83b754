import { groupBy } from '../base/parallel';
import { consumerOf } from '../mqtt/consumer';
import { isRetainedJob, type ClientEvents, type ClientJob, type HistoryJob, type MessageJob } from './jobs';

/** The parts of jobs that can fail by themselves: one event, one consumer, one message. */

export function splitMessages(job: MessageJob): MessageJob[] {
  return job.data.events.map((event) => ({ ...job, data: { ...job.data, events: [event] } }));
}

export function splitHistory(job: HistoryJob): HistoryJob[] {
  return job.data.events.map((message) => ({ ...job, data: { ...job.data, events: [message] } }));
}

export function splitClients(job: ClientJob): ClientJob[] {
  if (isRetainedJob(job)) return [job];
  if (job.name === 'clients') return splitEvents(job.data).map((data) => ({ ...job, data: { ...job.data, ...data } }));
  // Each of the other jobs has one list of things that belong to somebody.
  const [key, items] = Object.entries(job.data).find(([, value]) => Array.isArray(value)) as [string, Owned[]];
  return [...byConsumer(items).values()].map((own) => ({ ...job, data: { ...job.data, [key]: own } }) as ClientJob);
}

function splitEvents({ changes, drops, requests }: ClientEvents): ClientEvents[] {
  const parts = [byConsumer(changes), byConsumer(drops), byConsumer(requests)] as const;
  const consumers = new Set(parts.flatMap((part) => [...part.keys()]));
  return [...consumers].map((consumer) => ({
    changes: parts[0].get(consumer) ?? [],
    drops: parts[1].get(consumer) ?? [],
    requests: parts[2].get(consumer) ?? [],
  }));
}

type Owned = Parameters<typeof consumerOf>[0];

function byConsumer<T extends Owned>(items: readonly T[]): Map<string, T[]> {
  return groupBy(items, consumerOf);
}

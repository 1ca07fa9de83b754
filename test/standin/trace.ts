import { readFileSync } from 'node:fs';
import { join } from 'node:path';

type Json = Readonly<Record<string, unknown>>;

interface Step {
  readonly ms: number;
  readonly event_body?: Json;
  readonly received?: Json;
  readonly rest?: { readonly path: string; readonly status: number; readonly msgids: readonly string[] };
}

export interface Trace {
  readonly name: string;
  readonly steps: readonly Step[];
}

/** An event and when it came. ms */
export interface Timed {
  readonly ms: number;
  readonly event: Json;
}

const { scenarios } = JSON.parse(readFileSync(join(__dirname, '../fixtures/traces-5.8.9.json'), 'utf8')) as { scenarios: Trace[] };

/** What one live EMQX 5.8.9 did; found by the beginning of its name. */
export function traceOf(name: string): Trace {
  const found = scenarios.find((each) => each.name.startsWith(name));
  if (found === undefined) throw new Error(`no trace ${name}`);
  return found;
}

export function eventsOf({ steps }: Trace): Timed[] {
  return steps.flatMap(({ ms, event_body: event }) => (event === undefined ? [] : [{ ms, event }]));
}

/**
 * Events without what differs from run to run, by client: EMQX orders those of one client only. Ids become numbers in the order of
 * publishing. `publisher`: of it the messages only; its connection is no part of a trace.
 */
export function comparable(events: readonly Timed[], publisher = 'tr-pub'): Record<string, Json[]> {
  const ids = [...new Set(events.map(({ event }) => event['id']).filter((id) => id !== undefined))].sort();
  const clients: Record<string, Json[]> = {};
  for (const { event } of events) {
    const clientid = String(event['clientid']);
    if (clientid === publisher && event['id'] === undefined) continue;
    (clients[clientid] ??= []).push(essence(event, ids));
  }
  return clients;
}

function essence(event: Json, ids: readonly unknown[]): Json {
  const kept = ['event', 'topic', 'qos', 'reason', 'clean_start', 'expiry_interval', 'flags', 'disconn_props'].filter(
    (key) => event[key] !== undefined,
  );
  const users = (event['user_property'] ?? (event['pub_props'] as Json | undefined)?.['User-Property'] ?? {}) as Json;
  return {
    ...Object.fromEntries(kept.map((key) => [key, event[key]])),
    ...(event['id'] !== undefined && { id: ids.indexOf(event['id']) }),
    ...(Object.keys(users).length > 0 && { users }),
  };
}

/** How many acknowledgements came together after the last connection, pauses of 20 ms between. */
export function ackGroups(events: readonly Timed[]): number[] {
  const last = events.map(({ event }) => event['event']).lastIndexOf('client.connected');
  const groups: number[] = [];
  let before = -Infinity;
  for (const { ms, event } of events.slice(last)) {
    if (event['event'] !== 'message.acked') continue;
    if (ms - before > 20) groups.push(0);
    groups[groups.length - 1]!++;
    before = ms;
  }
  return groups;
}

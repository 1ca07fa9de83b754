import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidEventError, readEvent } from '../../src/events';
import type { OfflineEvent } from '../../src/events/event';

export interface Fixture {
  readonly event: string;
  readonly case: string;
  readonly body: Record<string, unknown>;
}

/** What a real EMQX 5.8.9 sent, as it sent it. */
export const FIXTURES = (JSON.parse(readFileSync(join(__dirname, '..', 'fixtures', 'events-5.8.9.json'), 'utf8')) as { events: Fixture[] })
  .events;

export function fixture(event: string, name: string): Record<string, unknown> {
  const found = FIXTURES.find((each) => each.event === event && each.case.startsWith(name));
  if (found === undefined) throw new Error(`no fixture ${event} ${name}`);
  return found.body;
}

/** ms */
export const AT = 1_795_228_477_838;

/** The smallest message.publish. */
export function publishBody(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { event: 'message.publish', id: 'A1', clientid: 'pub', topic: 't/1', qos: 1, payload: 'x', timestamp: AT, ...more };
}

export function without(body: Record<string, unknown>, ...keys: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([key]) => !keys.includes(key)));
}

/** @throws InvalidEventError */
export function parseEvent(body: unknown): OfflineEvent {
  return readEvent(body).event;
}

/** The paths of what is wrong with an event. */
export function flaws(body: unknown): string[] {
  try {
    parseEvent(body);
  } catch (error) {
    if (error instanceof InvalidEventError) return error.flaws.map(({ path }) => path);
    throw error;
  }
  return [];
}

/** What a real EMQX 4.4.19 sent; `rule`: SELECT *, or the SQL of rules/emqx5/offline-messages.json, which runs there unchanged. */
export const FIXTURES_V4 = (
  JSON.parse(readFileSync(join(__dirname, '..', 'fixtures', 'events-4.4.19.json'), 'utf8')) as {
    events: { rule: string; body: Record<string, unknown> }[];
  }
).events;

/** What the server makes of EMQX's events, by their names. */
export const TYPES: Readonly<Record<string, string>> = {
  'message.publish': 'publish',
  'message.dropped': 'publish',
  'message.delivered': 'delivered',
  'message.acked': 'acked',
  'session.subscribed': 'subscribed',
  'session.unsubscribed': 'unsubscribed',
  'client.connected': 'connected',
  'client.disconnected': 'disconnected',
};

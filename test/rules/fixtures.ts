import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Columns } from './sql';

interface Fixture {
  readonly event: string;
  readonly case: string;
  readonly body: Columns;
}

/** What EMQX 5.8.9 sent, measured. Some were selected with a column list: absent columns are the string "undefined" there. */
const measured = JSON.parse(readFileSync(join(__dirname, '../fixtures/events-5.8.9.json'), 'utf8')) as { events: Fixture[] };

/** The events as the rule engine has them before the SELECT: absent columns absent, a payload on every message event. */
export const events: readonly Fixture[] = measured.events.map((fixture) => {
  const body = Object.fromEntries(Object.entries(fixture.body).filter(([, value]) => value !== 'undefined'));
  const hasPayload = /^(message|delivery)\./.test(fixture.event) && body['payload'] === undefined;
  return { ...fixture, body: hasPayload ? { ...body, payload: 'x' } : body };
});

export function eventOf(name: string, text: string): Columns {
  const found = events.find((fixture) => fixture.event === name && fixture.case.includes(text));
  if (found === undefined) throw new Error(`no fixture of ${name}: ${text}`);
  return found.body;
}

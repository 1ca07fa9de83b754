import type { Flaw } from '../contract/flaw';
import { contract, type Validator } from '../contract/contract';
import type { OfflineEvent } from './event';
import { invalid, InvalidEventError } from './invalid';
import { HANDLED, isHandled, isKnown, KNOWN_NAMES, type HandledName } from './names';
import { PARSERS } from './parse';
import { given } from './properties';

export { InvalidEventError } from './invalid';
export { metricLabel } from './names';

const VALIDATORS = Object.fromEntries(
  Object.entries(HANDLED).map(([name, schema]) => [name, contract.validator(`#/components/schemas/${schema}`)]),
) as Record<HandledName, Validator>;

export interface NamedEvent {
  /** EMQX's name of the event. */
  readonly name: string;
  readonly event: OfflineEvent;
}

/**
 * Turns EMQX's JSON into one of the server's event types. The path may also contain the event's name.
 * @throws InvalidEventError
 */
export function readEvent(body: unknown, fromPath?: string): NamedEvent {
  const name = eventName(body, fromPath);
  if (!isHandled(name)) return { name, event: { type: 'ignored', event: name } };
  const flaws = VALIDATORS[name](body);
  if (flaws.length > 0) throw new InvalidEventError(flaws);
  return { name, event: (PARSERS[name] as (body: unknown) => OfflineEvent)(body) };
}

const MAX_EVENTS = 10_000;
const MAX_FLAWS = 100;

/**
 * Reads all events or none, because the sender gets one answer for the whole array.
 * @throws InvalidEventError
 */
export function readEvents(bodies: readonly unknown[]): NamedEvent[] {
  if (bodies.length > MAX_EVENTS) throw invalid('', `must not have more than ${MAX_EVENTS} entries`);
  const flaws: Flaw[] = [];
  const events: NamedEvent[] = [];
  for (const [index, body] of bodies.entries()) {
    try {
      events.push(readEvent(body));
    } catch (error) {
      if (!(error instanceof InvalidEventError)) throw error;
      flaws.push(...error.flaws.map(({ path, message }) => ({ path: `/${index}${path}`, message })));
      if (flaws.length >= MAX_FLAWS) break;
    }
  }
  if (flaws.length > 0) throw new InvalidEventError(flaws.slice(0, MAX_FLAWS));
  return events;
}

/**
 * The name that the event has in its body or in the path. Both must be equal.
 * @throws InvalidEventError
 */
function eventName(body: unknown, fromPath: string | undefined): string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('', 'must be an object');
  const fromBody = given((body as { event?: unknown }).event);
  if (fromBody === undefined && fromPath === undefined) throw invalid('/event', 'is missing');
  for (const name of [fromPath, fromBody]) {
    if (name !== undefined && (typeof name !== 'string' || !isKnown(name))) {
      throw invalid('/event', `must be an event that EMQX has: ${KNOWN_NAMES.join(', ')}, $bridges/... or $sources/...`);
    }
  }
  if (fromBody !== undefined && fromPath !== undefined && fromBody !== fromPath) throw invalid('/event', 'must be the same as in the path');
  return (fromBody ?? fromPath) as string;
}

import { RefusedError } from '../base/errors';
import type { OfflineEvent } from '../events/event';
import { InvalidEventError } from '../events/invalid';
import type { DeadLetter } from './box';
import { fromWire, type Message } from '../mqtt/message';

export interface RetryDeps {
  /** Accepts events into the queue, as the door does. */
  readonly ingest: { accept(events: readonly OfflineEvent[]): Promise<void> };
  /**
   * Reads an event's JSON. `name` is the event name of the path that it was posted to. Throws InvalidEventError if it
   * is not an event.
   */
  readonly parse: (event: unknown, name?: string) => OfflineEvent;
  /** Appends messages to one history. Resolves with false if there is none of this name. */
  readonly append: (sink: string, messages: readonly Message[]) => Promise<boolean>;
}

const REPAIR = 'send the repaired event as the body of this request';

/**
 * @returns a function that retries the letter.
 * @throws RefusedError that says why it can't be retried
 */
export function retryOf({ event, source, at }: Pick<DeadLetter, 'event' | 'source' | 'at'>, deps: RetryDeps): () => Promise<void> {
  const accept = (events: readonly OfflineEvent[]) => () => deps.ingest.accept(events);
  if (typeof event === 'string') return accept(refusedAtTheDoor(event, source, deps));
  const record = (typeof event === 'object' && event !== null ? event : {}) as Record<string, unknown>;
  if (typeof record['history'] === 'string') return appendTo(record['history'], record['message'], deps);
  if (record['kind'] === 'ack') {
    const { id, topic, clientid } = record as { id: string; topic: string; clientid: string };
    return accept([{ type: 'acked', id, topic, clientid, mark: null, at }]);
  }
  if ('subscription' in record)
    throw new RefusedError('it is a subscription that EMQX refused; EMQX is asked again whenever the client connects');
  if ('change' in record) throw new RefusedError("it was an operator's request about a client: make the request again");
  if ('data' in record && 'name' in record)
    throw new RefusedError("it was a job of the queue, not an event: the client's next subscription does the same");
  return accept([parsed(event, deps)]);
}

/**
 * Reads the text of a body that the door rejected. A newer version of the server may accept it; otherwise an operator
 * repairs it.
 */
function refusedAtTheDoor(text: string, source: string | null, deps: RetryDeps): OfflineEvent[] {
  // U+FFFD stands for bytes that could not be stored as text (Refusals). A retry would store something else than was
  // sent.
  if (text.includes('\ufffd')) throw new RefusedError(`some of its bytes could not be stored as text: ${REPAIR}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new RefusedError(`the stored text (at most 64 KB) is not JSON: ${REPAIR}`);
  }
  const name = /^POST \/v1\/events\/([^/].*)$/.exec(source ?? '')?.[1];
  return Array.isArray(json) && name === undefined ? json.map((each) => parsed(each, deps)) : [parsed(json, deps, name)];
}

function parsed(event: unknown, { parse }: RetryDeps, name?: string): OfflineEvent {
  try {
    return parse(event, name);
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    throw new RefusedError(`it is still rejected (${error.message}): ${REPAIR}`);
  }
}

/** The message is appended to the history only. If it were accepted as an event, it would be delivered once more. */
function appendTo(sink: string, body: unknown, deps: RetryDeps): () => Promise<void> {
  const event = parsed(body, deps);
  if (event.type !== 'publish') throw new RefusedError('it is not a message');
  return async () => {
    if (!(await deps.append(sink, [fromWire(event.message)]))) throw new RefusedError(`the history ${sink} is not among HISTORY_URLS`);
  };
}

import type { MessageProperties, WireMessage } from '../mqtt/message';
import type { ClientChange, MailEvent, MessageEvent } from './jobs';

/**
 * An event, and about how many bytes it takes in memory and in its job. The size is computed once, when the event is
 * added. The memory's limit, the limit of a job and the limit of a consumer's batch all use it.
 */
export interface Sized<E> {
  readonly event: E;
  readonly bytes: number;
}

/** The size of an event's names and short fields, as JSON. */
const OVERHEAD_BYTES = 500;
/** What a user property takes besides its texts: `{"key":"","value":""},`. */
const USER_PROPERTY_BYTES = 22;

export const sizedWrite = (event: MessageEvent): Sized<MessageEvent> => ({ event, bytes: sizeOfWrite(event) });
export const sizedMail = (event: MailEvent): Sized<MailEvent> => ({ event, bytes: sizeOfMail(event) });
export const sizedMessage = (event: WireMessage): Sized<WireMessage> => ({ event, bytes: sizeOfMessage(event) });

/** The size of all these events together. */
export const sizeOf = (events: readonly Sized<unknown>[]): number => sum(events, ({ bytes }) => bytes);

function sizeOfWrite(event: MessageEvent): number {
  if (event.kind === 'publish') return sizeOfMessage(event.message);
  return OVERHEAD_BYTES + event.topic.length + event.clientid.length;
}

/**
 * Topics, client ids and MQTT 5 properties are counted, too. Each of them may have 64 KB, and a message may have many
 * user properties.
 */
function sizeOfMessage({ payload, topic, clientid, username, properties }: WireMessage): number {
  return OVERHEAD_BYTES + payload.length + topic.length + clientid.length + (username?.length ?? 0) + sizeOfProperties(properties);
}

function sizeOfProperties({ contentType, responseTopic, correlationData, userProperties = [] }: MessageProperties): number {
  const own = (contentType?.length ?? 0) + (responseTopic?.length ?? 0) + (correlationData?.length ?? 0);
  return own + sum(userProperties, ({ key, value }) => USER_PROPERTY_BYTES + key.length + value.length);
}

function sizeOfMail(event: MailEvent): number {
  const { to } = event;
  switch (event.kind) {
    case 'change':
      return OVERHEAD_BYTES + to.length + event.change.clientid.length + sizeOfChange(event.change);
    case 'deliver':
      return OVERHEAD_BYTES + to.length + event.request.clientid.length + event.request.filter.length;
    case 'left':
      return OVERHEAD_BYTES + to.length + event.clientid.length + event.filter.length;
    case 'acked':
    case 'dropped':
      return OVERHEAD_BYTES + to.length + event.clientid.length + event.topic.length;
    case 'late':
      return OVERHEAD_BYTES + to.length + event.consumer.length + event.topic.length;
    case 'wake':
      return OVERHEAD_BYTES + to.length;
  }
}

/** An operator may assign thousands of subscriptions. */
function sizeOfChange(change: ClientChange): number {
  switch (change.kind) {
    case 'assigned':
      return sum(change.subscriptions, ({ topic }) => OVERHEAD_BYTES + topic.length);
    case 'withdrawn':
      return sum(change.filters ?? [], ({ length }) => length);
    case 'subscribed':
    case 'unsubscribed':
      return change.filter.length;
    case 'connected':
    case 'disconnected':
      return 0;
  }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

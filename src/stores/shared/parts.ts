import type { ClientStore, MessageStore, PositionStore, RetainedStore, Store } from '../store';

/** The parts of a driver. Each part has a file. */
export interface StoreParts {
  readonly messages: MessageStore;
  readonly clients: ClientStore;
  readonly positions: PositionStore;
  readonly retained: RetainedStore;
}

class Composed {
  constructor({ messages, clients, positions, retained }: StoreParts) {
    const methods = [messages, clients, positions, retained].map(methodsOf);
    Object.assign(this, ...methods, {
      saveMessages: async (batch) => (batch.length === 0 ? [] : messages.saveMessages(batch)),
      removeMessages: async (refs, tombstoneUntil) => (refs.length === 0 ? 0 : messages.removeMessages(refs, tombstoneUntil)),
    } satisfies Partial<Store>);
  }
}

/**
 * The base class of the drivers, with the methods of all parts. A driver adds what concerns the connection:
 * capabilities, migrate, health and close. The parts are never called with an empty list of messages to save or remove.
 */
export const StoreOfParts = Composed as new (parts: StoreParts) => MessageStore & ClientStore & PositionStore & RetainedStore;

/** All methods of the object's class, bound to the object. */
function methodsOf(part: object): Record<string, unknown> {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(part)).filter((name) => name !== 'constructor');
  const entries = names.map((name): [string, unknown] => [name, Reflect.get(part, name)]);
  return Object.fromEntries(
    entries.flatMap(([name, method]) => (typeof method === 'function' ? [[name, method.bind(part) as unknown]] : [])),
  );
}

import type { Message } from '../../mqtt/message';

/** Each id once: the first message that has it. A batch may contain duplicates. */
export function firstOfEachId(messages: readonly Message[]): Message[] {
  const first = new Map<string, Message>();
  for (const message of messages) if (!first.has(message.id)) first.set(message.id, message);
  return [...first.values()];
}

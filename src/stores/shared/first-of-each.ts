/** Each id once: the first message that has it. A batch may contain duplicates. */
export function firstOfEachId<T extends { readonly id: string }>(messages: readonly T[]): T[] {
  const first = new Map<string, T>();
  for (const message of messages) if (!first.has(message.id)) first.set(message.id, message);
  return [...first.values()];
}

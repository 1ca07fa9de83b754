import type { SharedState } from '../../lanes/state';

/** Longer than a member takes for what EMQX has given it. ms. */
const SENT_FOR_MS = 10 * 60_000;

/**
 * For whom a message was sent to a shared subscription in queue mode: EMQX gives it to any member of the group, and its acknowledgement must make
 * room in the window that it was sent from.
 */
export class SentFor {
  constructor(private readonly state: Pick<SharedState, 'setAll' | 'getAll'>) {}

  /** Before they are sent: an acknowledgement may come at once. */
  async note(ids: readonly string[], clientid: string): Promise<void> {
    await this.state.setAll(ids.map((id) => ({ key: keyOf(id), value: clientid })), SENT_FOR_MS);
  }

  /** Client ids by message id; of those that are known. */
  async whose(ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (ids.length === 0) return new Map();
    const found = await this.state.getAll(ids.map(keyOf));
    return new Map(ids.flatMap((id) => (found.has(keyOf(id)) ? [[id, found.get(keyOf(id)) as string]] : [])));
  }
}

const keyOf = (id: string): string => `sent-for:${id}`;

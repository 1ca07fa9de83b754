import { call } from '../api/client';
import { useNotices } from '../state/notices';
import { useLoad } from '../state/use-load';
import { Ask } from './dialog';
import { counted, countText } from './format';

/** The most topics whose messages are counted for the question. */
const COUNTED_TOPICS = 1_000;

/** Asks before all messages of the topics that match are deleted, and says how many there are. */
export function PurgeDialog({ filter, onDone, onClose }: { filter: string; onDone: () => void; onClose: () => void }) {
  const { notify } = useNotices();
  const { data } = useLoad(`purge ${filter}`, (signal) => call('get', '/v1/topics', { query: { filter, limit: COUNTED_TOPICS }, signal }));
  const confirm = async (): Promise<void> => {
    const { removed } = await call('delete', '/v1/messages', { query: { filter } });
    notify(`${counted(removed, 'message')} deleted.`);
    onDone();
  };
  return (
    <Ask title="Delete messages?" action="Delete messages" isDangerous onConfirm={confirm} onClose={onClose}>
      <p>
        This deletes every stored message of the topics that match <code class="breakable">{filter}</code>
        {data !== null && ` (${amount(data)})`}. Clients that have not received them will never receive them. Nobody can undo this.
      </p>
    </Ask>
  );
}

function amount({ topics, next }: { readonly topics: readonly { readonly messages: number }[]; readonly next: string | null }): string {
  const messages = topics.reduce((sum, topic) => sum + topic.messages, 0);
  if (next !== null) return `more than ${countText(messages)} messages`;
  return `${counted(messages, 'message')} of ${counted(topics.length, 'topic')}`;
}

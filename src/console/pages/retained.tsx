import { useState } from 'preact/hooks';
import { call } from '../api/client';
import { Ask } from '../parts/dialog';
import { TextField } from '../parts/field';
import { FilterSearch } from '../parts/filter-search';
import { List, type Column } from '../parts/list';
import { MessageDetails, type Message } from '../parts/message-details';
import { RestoreOutcome } from '../parts/outcome';
import { PayloadStart } from '../parts/payload';
import { Ago } from '../parts/time';
import type { Place } from '../state/route';
import { useMayChange } from '../state/session';
import { usePages } from '../state/use-pages';

const COLUMNS: readonly Column<Message>[] = [
  { name: 'Topic', cell: ({ topic }) => topic },
  { name: 'Payload', cell: ({ payload, text }) => <PayloadStart payload={payload} text={text} />, isExtra: true },
  { name: 'Publisher', cell: ({ clientid }) => clientid, isExtra: true },
  { name: 'Published', cell: ({ publish_received_at }) => <Ago at={publish_received_at} />, isNumber: true },
];

/** The retained message of each topic, and how to give EMQX back those that it has lost. */
export function Retained({ place }: { place: Place }) {
  const filter = place.query.get('filter') ?? '';
  const [isAsking, setAsking] = useState(false);
  const [restore, setRestore] = useState<string | null>(null);
  const mayChange = useMayChange();
  const list = usePages(`retained ${filter}`, async (after, signal) => {
    const { messages, next } = await call('get', '/v1/retained', { query: { filter, after, limit: 50 }, signal });
    return { items: messages, next };
  });

  return (
    <>
      <FilterSearch page="retained" filter={filter} onRepeat={list.reload}>
        {mayChange && (
          <button type="button" onClick={() => setAsking(true)}>
            Restore to EMQX ...
          </button>
        )}
      </FilterSearch>
      {restore !== null && <RestoreOutcome id={restore} />}
      <List
        caption="Retained messages by topic"
        columns={COLUMNS}
        list={list}
        keyOf={({ topic }) => topic}
        empty={
          filter === ''
            ? 'No retained message is stored. The server keeps those of topics whose policy has retain "store" or "restore".'
            : 'No stored retained message matches this filter.'
        }
        details={(message) => <MessageDetails message={message} />}
      />
      {isAsking && <RestoreDialog filter={filter} onAccepted={setRestore} onClose={() => setAsking(false)} />}
    </>
  );
}

interface RestoreDialogProps {
  readonly filter: string;
  readonly onAccepted: (id: string) => void;
  readonly onClose: () => void;
}

function RestoreDialog({ filter, onAccepted, onClose }: RestoreDialogProps) {
  const [wanted, setWanted] = useState(filter === '' ? '#' : filter);
  const confirm = async (): Promise<void> => {
    const { id } = await call('post', '/v1/retained/restore', { body: { filter: wanted } });
    onAccepted(id);
  };
  return (
    <Ask title="Restore retained messages?" action="Restore" onConfirm={confirm} onClose={onClose}>
      <p>
        The server publishes the stored retained messages of the topics that match, but only where EMQX retains nothing. Subscribers of
        these topics receive them.
      </p>
      <TextField label="Topic filter" value={wanted} onValue={setWanted} isRequired />
    </Ask>
  );
}

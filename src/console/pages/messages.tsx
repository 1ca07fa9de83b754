import { useState } from 'preact/hooks';
import { call } from '../api/client';
import { Deliver } from '../parts/deliver';
import { Ask } from '../parts/dialog';
import { FilterSearch } from '../parts/filter-search';
import { List, type Column } from '../parts/list';
import { MessageDetails, type Message } from '../parts/message-details';
import { DeliveryOutcome } from '../parts/outcome';
import { PayloadStart } from '../parts/payload';
import { PurgeDialog } from '../parts/purge';
import { Ago } from '../parts/time';
import { useNotices } from '../state/notices';
import type { Place } from '../state/route';
import { useMayChange } from '../state/session';
import { usePages } from '../state/use-pages';

type Asking = { readonly kind: 'deliver' | 'delete'; readonly message: Message } | { readonly kind: 'purge' } | null;

const COLUMNS: readonly Column<Message>[] = [
  { name: 'Topic', cell: ({ topic }) => topic },
  { name: 'Payload', cell: ({ payload, text }) => <PayloadStart payload={payload} text={text} />, isExtra: true },
  { name: 'Publisher', cell: ({ clientid }) => clientid, isExtra: true },
  { name: 'QoS', cell: ({ qos }) => qos, isNumber: true, isExtra: true },
  { name: 'Published', cell: ({ publish_received_at }) => <Ago at={publish_received_at} />, isNumber: true },
];

/** Stored messages by topic filter: what is in them, and what can be done with them. */
export function Messages({ place }: { place: Place }) {
  const filter = place.query.get('filter') ?? '';
  const [asking, setAsking] = useState<Asking>(null);
  const [delivery, setDelivery] = useState<string | null>(null);
  const mayChange = useMayChange();
  const list = usePages(`messages ${filter}`, async (after, signal) => {
    const { messages, next } = await call('get', '/v1/messages', { query: { filter, after, limit: 50 }, signal });
    return { items: messages, next };
  });
  const close = (): void => setAsking(null);

  return (
    <>
      <FilterSearch page="messages" filter={filter} onRepeat={list.reload}>
        {mayChange && (list.items?.length ?? 0) > 0 && (
          <button type="button" class="danger" onClick={() => setAsking({ kind: 'purge' })}>
            Delete all that match ...
          </button>
        )}
      </FilterSearch>
      {delivery !== null && <DeliveryOutcome id={delivery} onOver={list.reload} />}
      <List
        caption="Stored messages, topic by topic, oldest first"
        columns={COLUMNS}
        list={list}
        keyOf={({ id }) => id}
        empty={filter === '' ? 'No message is stored.' : 'No stored message matches this filter.'}
        details={(message) => (
          <MessageDetails message={message}>
            {mayChange && (
              <>
                <button type="button" onClick={() => setAsking({ kind: 'deliver', message })}>
                  Deliver now ...
                </button>
                <button type="button" class="danger" onClick={() => setAsking({ kind: 'delete', message })}>
                  Delete ...
                </button>
              </>
            )}
          </MessageDetails>
        )}
      />
      {asking?.kind === 'deliver' && <Deliver topic={asking.message.topic} onAccepted={setDelivery} onClose={close} />}
      {asking?.kind === 'delete' && <DeleteMessage message={asking.message} onDone={list.reload} onClose={close} />}
      {asking?.kind === 'purge' && <PurgeDialog filter={filter === '' ? '#' : filter} onDone={list.reload} onClose={close} />}
    </>
  );
}

function DeleteMessage({ message: { id, topic }, onDone, onClose }: { message: Message; onDone: () => void; onClose: () => void }) {
  const { notify } = useNotices();
  const confirm = async (): Promise<void> => {
    await call('delete', '/v1/messages/{id}', { path: { id } });
    notify('The message is deleted.');
    onDone();
  };
  return (
    <Ask title="Delete this message?" action="Delete message" isDangerous onConfirm={confirm} onClose={onClose}>
      <p>
        This deletes the message <code class="breakable">{id}</code> of the topic <code class="breakable">{topic}</code>. Clients that have
        not received it will never receive it. Nobody can undo this.
      </p>
    </Ask>
  );
}

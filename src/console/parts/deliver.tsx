import { useState } from 'preact/hooks';
import { call } from '../api/client';
import { Ask } from './dialog';
import { TextField } from './field';

interface DeliverProps {
  readonly clientid?: string;
  readonly topic?: string;
  /** Called with the id of the request, by which its outcome is read. */
  readonly onAccepted: (id: string) => void;
  readonly onClose: () => void;
}

/** Asks whom to deliver to, and which topics. */
export function Deliver({ clientid = '', topic = '', onAccepted, onClose }: DeliverProps) {
  const [client, setClient] = useState(clientid);
  const [filter, setFilter] = useState(topic);
  const confirm = async (): Promise<void> => {
    const { id } = await call('post', '/v1/deliveries', { body: { clientid: client, topic: filter } });
    onAccepted(id);
  };
  return (
    <Ask title="Deliver now" action="Deliver" onConfirm={confirm} onClose={onClose}>
      <p>
        The server sends the client all stored messages of the topics that match, as if the client had just subscribed. Messages that the
        client has acknowledged are not sent again.
      </p>
      <TextField label="Client id" value={client} onValue={setClient} isRequired />
      <TextField label="Topic filter" value={filter} onValue={setFilter} isRequired />
    </Ask>
  );
}

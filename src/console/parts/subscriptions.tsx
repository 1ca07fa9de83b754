import { useState } from 'preact/hooks';
import { call, type Answer } from '../api/client';
import { useNotices } from '../state/notices';
import { useMayChange } from '../state/session';
import { Ask } from './dialog';
import { TextField } from './field';
import { counted } from './format';

type Client = Answer<'/v1/clients/{clientid}'>;
type Subscription = Client['subscriptions'][number];
type Asking = { readonly kind: 'add' | 'remove-all' } | { readonly kind: 'remove'; readonly topic: string } | null;

interface SubscriptionsProps {
  readonly client: Client;
  readonly onChange: () => void;
}

/** The subscriptions that the server has stored, and that it makes when the client connects. */
export function Subscriptions({ client, onChange }: SubscriptionsProps) {
  const { clientid, subscriptions, subscription_count } = client;
  const [asking, setAsking] = useState<Asking>(null);
  const mayChange = useMayChange();
  const close = (): void => setAsking(null);
  const hidden = subscription_count - subscriptions.length;
  return (
    <section class="card" aria-labelledby="subscriptions">
      <h2 id="subscriptions">Stored subscriptions</h2>
      {subscriptions.length === 0 && <p class="dim">None is stored. The server makes no subscription when this client connects.</p>}
      {subscriptions.length > 0 && (
        <ul class="subscriptions">
          {subscriptions.map(({ topic, qos }) => (
            <li key={topic}>
              <code class="breakable">{topic}</code> <span class="dim nowrap">QoS {qos}</span>
              {mayChange && (
                <button
                  type="button"
                  class="small danger"
                  aria-label={`End the subscription ${topic}`}
                  onClick={() => setAsking({ kind: 'remove', topic })}
                >
                  End
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
      {hidden > 0 && <p class="dim">... and {counted(hidden, 'more subscription')}.</p>}
      {mayChange && (
        <div class="buttons">
          <button type="button" onClick={() => setAsking({ kind: 'add' })}>
            Add a subscription ...
          </button>
          {subscriptions.length > 0 && (
            <button type="button" class="danger" onClick={() => setAsking({ kind: 'remove-all' })}>
              End all ...
            </button>
          )}
        </div>
      )}
      {asking?.kind === 'add' && <Add clientid={clientid} onDone={onChange} onClose={close} />}
      {asking !== null && asking.kind !== 'add' && (
        <Remove clientid={clientid} topic={asking.kind === 'remove' ? asking.topic : null} onDone={onChange} onClose={close} />
      )}
    </section>
  );
}

interface ActionProps {
  readonly clientid: string;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

function Add({ clientid, onDone, onClose }: ActionProps) {
  const [topic, setTopic] = useState('');
  const [qos, setQos] = useState<Subscription['qos']>(1);
  const { notify } = useNotices();
  const confirm = async (): Promise<void> => {
    const others = (await all(clientid)).filter((each) => each.topic !== topic);
    await call('put', '/v1/clients/{clientid}/subscriptions', {
      path: { clientid },
      body: { subscriptions: [...others, { topic, qos }] },
    });
    notify(`The server makes the subscription ${topic}.`);
    onDone();
  };
  return (
    <Ask title="Add a subscription" action="Add" onConfirm={confirm} onClose={onClose}>
      <p>
        If the client is connected, EMQX subscribes it at once, without a look at EMQX's access rules. Otherwise EMQX subscribes it when it
        connects.
      </p>
      <TextField label="Topic filter" value={topic} onValue={setTopic} isRequired />
      <label class="field">
        <span>QoS</span>
        <select value={qos} onChange={(event) => setQos(Number(event.currentTarget.value) as Subscription['qos'])}>
          {[0, 1, 2].map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      </label>
    </Ask>
  );
}

/** The server replaces the whole list, so the new one must have every old subscription. */
async function all(clientid: string): Promise<readonly Subscription[]> {
  const found: Subscription[] = [];
  for (let after: string | null | undefined; after !== null;) {
    const query = { limit: 1_000, ...(after !== undefined && { after }) };
    const page: Answer<'/v1/clients/{clientid}/subscriptions'> = await call('get', '/v1/clients/{clientid}/subscriptions', {
      path: { clientid },
      query,
    });
    found.push(...page.subscriptions);
    after = page.next;
  }
  return found;
}

/** `topic` is null for all subscriptions. */
function Remove({ clientid, topic, onDone, onClose }: ActionProps & { topic: string | null }) {
  const { notify } = useNotices();
  const confirm = async (): Promise<void> => {
    await call('delete', '/v1/clients/{clientid}/subscriptions', { path: { clientid }, query: topic === null ? {} : { topic } });
    notify(topic === null ? 'All stored subscriptions end.' : `The subscription ${topic} ends.`);
    onDone();
  };
  const title = topic === null ? 'End all stored subscriptions?' : 'End this subscription?';
  return (
    <Ask
      title={title}
      action={topic === null ? 'End all subscriptions' : 'End subscription'}
      isDangerous
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>
        This deletes {topic === null ? 'every stored subscription' : <code class="breakable">{topic}</code>} of{' '}
        <code class="breakable">{clientid}</code>. If the client is connected, EMQX unsubscribes it at once.
      </p>
    </Ask>
  );
}

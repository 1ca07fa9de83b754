import { useState } from 'preact/hooks';
import { call, type Answer } from '../api/client';
import { Subscriptions } from '../parts/subscriptions';
import { Deliver } from '../parts/deliver';
import { Explanation } from '../parts/explanation';
import { Facts } from '../parts/facts';
import { SearchForm } from '../parts/field';
import { counted } from '../parts/format';
import { DeliveryOutcome } from '../parts/outcome';
import { Positions } from '../parts/positions';
import { ProblemBox } from '../parts/problem';
import { Ago, When } from '../parts/time';
import { go, link, type Place } from '../state/route';
import { useMayChange } from '../state/session';
import { useLoad } from '../state/use-load';
import { useLastClients } from '../state/last-clients';

export type Client = Answer<'/v1/clients/{clientid}'>;

/** How often the client that is shown is loaded again (ms). */
const RELOAD_MS = 3_000;

/** One client: its state, what is on its way to it, and why a message has not been delivered. */
export function Clients({ place }: { place: Place }) {
  const clientid = place.query.get('id') ?? '';
  const [wanted, setWanted] = useState(clientid);
  return (
    <>
      <SearchForm
        label="Client id"
        placeholder="exactly as the client connects to EMQX"
        action="Show"
        value={wanted}
        onValue={setWanted}
        onSearch={() => go('clients', { id: wanted })}
      />
      {clientid === '' ? <LastClients /> : <ClientView key={clientid} clientid={clientid} />}
    </>
  );
}

function LastClients() {
  const clients = useLastClients(null);
  if (clients.length === 0) return <p class="empty">Enter a client id to see what the server knows about the client.</p>;
  return (
    <section class="card">
      <h2>Looked at last</h2>
      <ul class="plain-list">
        {clients.map((id) => (
          <li key={id}>
            <a href={link('clients', { id })} class="breakable">
              {id}
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function ClientView({ clientid }: { clientid: string }) {
  const mayChange = useMayChange();
  const [isDelivering, setDelivering] = useState(false);
  const [delivery, setDelivery] = useState<string | null>(null);
  const { data, problem, isLoading, reload } = useLoad(
    `client ${clientid}`,
    (signal) => call('get', '/v1/clients/{clientid}', { path: { clientid }, signal }),
    RELOAD_MS,
  );
  useLastClients(data === null ? null : clientid);
  return (
    <>
      <ProblemBox problem={problem} />
      {data === null && isLoading && <p class="dim">Loading ...</p>}
      {data !== null && (
        <>
          <section class="card" aria-labelledby="why">
            <h2 id="why">Why messages have, or have not, been delivered</h2>
            <Explanation sentences={data.explanation} />
            {mayChange && (
              <div class="buttons">
                <button type="button" onClick={() => setDelivering(true)}>
                  Deliver now ...
                </button>
              </div>
            )}
            {delivery !== null && <DeliveryOutcome id={delivery} onOver={reload} />}
          </section>
          <div class="columns">
            <State client={data} />
            <Out client={data} />
          </div>
          <Subscriptions client={data} onChange={reload} />
          <Positions client={data} />
        </>
      )}
      {isDelivering && <Deliver clientid={clientid} topic="#" onAccepted={setDelivery} onClose={() => setDelivering(false)} />}
    </>
  );
}

function State({ client: { connected, node, connected_at, disconnected_at } }: { client: Client }) {
  const badge = connected === null ? 'busy' : connected ? 'good' : 'off';
  return (
    <section class="card" aria-labelledby="state">
      <h2 id="state">State</h2>
      <Facts
        facts={[
          [
            'Connection',
            <span class={`badge ${badge}`}>{connected === null ? 'unknown' : connected ? 'connected' : 'not connected'}</span>,
          ],
          ['EMQX node', node ?? <span class="dim">unknown</span>],
          ['Connected', <When at={connected_at} none="unknown" />],
          ['Disconnected', <When at={disconnected_at} none="never" />],
        ]}
      />
      {connected === null && (
        <p class="dim">The state is known when the rule set client-state or full is installed in EMQX. The page Set-up has both.</p>
      )}
    </section>
  );
}

function Out({ client: { delivery } }: { client: Client }) {
  return (
    <section class="card" aria-labelledby="out">
      <h2 id="out">On its way to the client</h2>
      {delivery === null ? (
        <p class="dim">Nothing is on its way to the client.</p>
      ) : (
        <>
          <p>
            {counted(delivery.unacknowledged, 'message')} sent and not acknowledged
            {delivery.oldest_sent_at !== null && (
              <>
                , the oldest sent <Ago at={delivery.oldest_sent_at} />
              </>
            )}
            .
          </p>
          {delivery.waiting.length > 0 && (
            <ul>
              {delivery.waiting.map(({ filter, topic }) => (
                <li key={filter}>
                  <code class="breakable">{filter}</code> has more to send
                  {topic !== null && (
                    <>
                      , from <code class="breakable">{topic}</code>
                    </>
                  )}
                  .
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </section>
  );
}

import { useState } from 'preact/hooks';
import { call, type Answer } from '../api/client';
import { CopyBox } from '../parts/copy';
import { TextField } from '../parts/field';
import { counted } from '../parts/format';
import { ProblemBox } from '../parts/problem';
import { Ago } from '../parts/time';
import { useMayChange } from '../state/session';
import { useLoad } from '../state/use-load';
import { useSettled } from '../state/use-settled';

type Setup = Answer<'/v1/setup'>;
type RuleSet = (typeof SETS)[number]['id'];
type Version = '' | '4' | '5';

const SETS = [
  {
    id: 'offline-messages',
    text: 'Offline messages: EMQX sends every published message, and the server stores those that its policies name.',
  },
  { id: 'offline-only', text: 'Offline only: EMQX sends only messages that it dropped because nobody was subscribed.' },
  { id: 'client-state', text: 'Client state: the server records which clients are connected, and makes stored subscriptions.' },
  { id: 'full', text: 'Full: offline messages and client state together.' },
] as const;

/** The page shows new events within this time, in ms. */
const RELOAD_MS = 2_000;

/** What to install in EMQX, and whether its events arrive. */
export function SetUp() {
  const [set, setSet] = useState<RuleSet>('offline-messages');
  const [topics, setTopics] = useState('');
  const [version, setVersion] = useState<Version>('');
  const mayChange = useMayChange();
  const wanted = useSettled(
    JSON.stringify({
      set,
      topics: topics
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== ''),
      version,
    }),
  );
  const { data, problem } = useLoad(
    `set-up ${wanted}`,
    (signal) => {
      const { set, topics, version } = JSON.parse(wanted) as { set: RuleSet; topics: string[]; version: Version };
      const emqx = version === '' ? undefined : (Number(version) as 4 | 5);
      return call('get', '/v1/setup', { query: { set, topic: topics, ...(emqx !== undefined && { emqx }) }, signal });
    },
    RELOAD_MS,
  );

  return (
    <>
      {data !== null && <Arriving setup={data} />}
      <section class="card" aria-labelledby="choice">
        <h2 id="choice">1. Choose what EMQX sends</h2>
        <fieldset class="choices">
          <legend class="off-screen">Rule set</legend>
          {SETS.map(({ id, text }) => (
            <label key={id}>
              <input type="radio" name="set" checked={set === id} onChange={() => setSet(id)} />
              <span>{text}</span>
            </label>
          ))}
        </fieldset>
        <div class="columns">
          <TextField
            label="Topic filters, one in each line"
            value={topics}
            onValue={setTopics}
            rows={3}
            placeholder="site/#"
            hint="EMQX sends the messages of these topics only. If it is empty, EMQX sends those of POLICIES, with t/# in place of #."
          />
          <label class="field">
            <span>EMQX version</span>
            <select value={version} onChange={(event) => setVersion(event.currentTarget.value as Version)}>
              <option value="">As EMQX_URL says</option>
              <option value="5">5 or 6</option>
              <option value="4">4</option>
            </select>
          </label>
        </div>
      </section>
      <ProblemBox problem={problem} />
      {data !== null && (
        <section class="card" aria-labelledby="install">
          <h2 id="install">2. Install the rule in EMQX</h2>
          {!mayChange && <p class="dim">You use READ_TOKEN, so the token in the texts below is replaced by ***.</p>}
          <p>Run this command on the machine of the server. It needs EMQX_API_KEY and EMQX_API_SECRET.</p>
          <CopyBox label="Command" text={data.command} />
          <p>Or import this file in EMQX yourself.</p>
          <CopyBox label="Rule file" text={data.rules} />
        </section>
      )}
    </>
  );
}

function Arriving({ setup: { last_event_at, events_accepted, refused } }: { setup: Setup }) {
  return (
    <>
      {refused !== null && (
        <div class="problem" role="alert">
          <strong>Events are refused</strong>
          <p>{refused}</p>
        </div>
      )}
      <section class={`card arriving ${last_event_at === null ? '' : 'good'}`} role="status">
        {last_event_at === null ? (
          <p>
            <strong>No event has arrived yet.</strong> Install the rule below, and then publish a message to EMQX.
          </p>
        ) : (
          <p>
            <strong>Events are arriving.</strong> {counted(events_accepted, 'event')} since the server started, the last one{' '}
            <Ago at={last_event_at} />.
          </p>
        )}
      </section>
    </>
  );
}

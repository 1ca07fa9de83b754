import type { Server } from '../../src/server/server';
import { emptyDatabase } from '../support/database';
import { newId } from '../support/messages';
import { publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import { World } from './world';

/** The longest wait until another server owns a lane and its jobs, on a busy machine. */
const PATIENCE_MS = 60_000;
const PREFIX = { queue: 't/one/21', pubsub: 't/many/21' };

export type StandsStill = 'reading' | 'saving';

/**
 * A server stands still in the middle of a delivery, another one takes over its lane, and then it goes on. As in a process that is stopped (SIGSTOP), its
 * locks are not renewed; unlike there, its other lanes go on.
 */
export async function standsStill(postgres: string, queue: string, at: StandsStill, mode: 'queue' | 'pubsub'): Promise<void> {
  const POLICIES = JSON.stringify([{ filter: 't/many/#', mode: 'pubsub' }, { filter: '#' }]);
  const STORE_URL = await emptyDatabase(postgres, `offline_still_${mode}_${at}`);
  const world = await World.start({ env: { STORE_URL, QUEUE_URL: queue, POLICIES } });
  const others: Server[] = [];
  let goOn = (): void => undefined;
  try {
    const topic = PREFIX[mode];
    const clientid = `still ${mode} ${at}`;
    const texts = Array.from({ length: 20 }, (_, i) => `m${i}`);
    await world.post(texts.map((text) => publishEvent({ topic, id: newId(), payload: Buffer.from(text) })));
    await world.storedCount(20);
    const still = at === 'reading' ? holdReads(world.server) : holdSaves(world.server);
    goOn = still.goOn;
    const subscriber = await world.subscriber(clientid);
    await subscriber.subscribe(topic);
    await waitFor('the first to stand still', still.isHeld);
    stopRenewals(world.server);
    const other = await world.startAnother();
    others.push(other);
    // The job that the first one has in hand, too.
    const isDone = async (): Promise<boolean> => {
      const { lanes } = (await (await fetch(`${other.url}/v1/stats`)).json()) as { lanes: { waiting: number; active: number }[] | null };
      // null: the queue did not answer in time.
      if (lanes === null) return false;
      return subscriber.received.length >= 20 && world.emqx.pending === 0 && lanes.every(({ waiting, active }) => waiting + active === 0);
    };
    await waitFor('the second to have done it', isDone, PATIENCE_MS);
    // Newer than what the first one knows. EMQX delivers them.
    for (const text of ['n0', 'n1', 'n2']) await world.publish(topic, text);
    await subscriber.receives(23);
    await waitFor(
      'the acknowledgements',
      async () => (await isDone()) && (mode === 'pubsub' || (await world.stored()).length === 0),
      PATIENCE_MS,
    );
    still.goOn();
    await world.quiet();
    await world.timePasses();
    expect(subscriber.texts).toEqual([...texts, 'n0', 'n1', 'n2']);
    expect(world.delivered).toEqual(texts);
    await world.storedCount(mode === 'queue' ? 0 : 23);
    // Its position is where it was.
    await world.leave(subscriber);
    const again = await world.subscriber(clientid);
    await again.subscribe(topic);
    await world.quiet();
    expect(again.texts).toEqual([]);
  } finally {
    // A server that stands still could not stop, and the stop would hide why the test failed.
    goOn();
    await Promise.all(others.map((server) => server.stop()));
    await world.stop();
  }
}

interface Still {
  readonly isHeld: () => boolean;
  readonly goOn: () => void;
}

function newStill(): Still & { hold<T>(result: T): Promise<T> } {
  let held = false;
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  return {
    isHeld: () => held,
    goOn: () => open(),
    async hold(result) {
      held = true;
      await gate;
      return result;
    },
  };
}

/** Pauses the server after it has read a page of messages. */
function holdReads(server: Server): Still {
  const { store } = server['backends'];
  const still = newStill();
  const read = store.listMessages.bind(store);
  jest.spyOn(store, 'listMessages').mockImplementationOnce(async (...args) => still.hold(await read(...args)));
  return still;
}

/** Pauses the server after it has published, before it saves the mailbox. */
function holdSaves(server: Server): Still {
  const { state } = server['backends'].queue;
  const still = newStill();
  const save = state.save.bind(state);
  let isFirst = true;
  jest.spyOn(state, 'save').mockImplementation(async (records) => {
    const isMailbox = records.some(({ key, value }) => !key.startsWith('lane:') && value.includes('t/'));
    if (isMailbox && isFirst && server['core'] !== null && (await isPublished())) {
      isFirst = false;
      await still.hold(null);
    }
    return save(records);
  });
  const isPublished = async (): Promise<boolean> =>
    server.metrics.messagesDelivered.get().then(({ values }) => values.some(({ value }) => value > 0));
  return still;
}

function stopRenewals(server: Server): void {
  for (const consumer of server['core']?.['consumers'] ?? []) {
    const renewal = (consumer as unknown as { renewal: NodeJS.Timeout | null }).renewal;
    if (renewal !== null) clearInterval(renewal);
  }
}

import { OUTCOME_TTL_MS, Outcomes } from '../../src/lanes/outcomes';
import { acked, deliver, PassWorld } from './pass-world';

const ID = '0b6f4a52-6c9b-4f0e-9f0c-5d7b6a0f9d11';
const PART = `${ID}.0`;

async function requested(world: PassWorld, fields: Parameters<typeof deliver>[2] = {}): Promise<Outcomes> {
  await world.handle([deliver('c', 't/#', { requestId: PART, ...fields })]);
  return new Outcomes(world.state);
}

test('a delivery request that has read everything is done, with its number of messages', async () => {
  const world = new PassWorld();
  await world.stored('t/a', 'A1', 'A2', 'A3');
  const outcomes = await requested(world);
  await world.until(world.now + 2_000);
  expect(world.published).toHaveLength(3);
  expect(await outcomes.delivery(ID)).toEqual({
    ...{ clientid: 'c', filter: 't/#', state: 'done', sent: 3 },
    detail: expect.stringMatching(/^3 messages were sent to EMQX/),
  });
});

test('a delivery request reports that nothing is stored', async () => {
  const world = new PassWorld();
  const outcomes = await requested(world);
  await world.until(world.now + 2_000);
  expect(await outcomes.delivery(ID)).toMatchObject({ state: 'done', sent: 0, detail: expect.stringMatching(/^Nothing was left to send/) });
});

test('a delivery request is running while the window is full, and then stays done', async () => {
  const world = new PassWorld({ window: 2 });
  await world.stored('t/a', 'A1', 'A2', 'A3');
  // The message lane does it.
  const removed = (...ids: string[]) =>
    world.store.asStore().removeMessages(
      ids.map((id) => ({ topic: 't/a', id })),
      0,
    );
  const outcomes = await requested(world);
  await world.until(world.now + 2_000);
  expect(await outcomes.delivery(ID)).toMatchObject({ state: 'running', sent: 2 });
  await world.handle([acked('c', 'A1', 't/a'), acked('c', 'A2', 't/a')]);
  await removed('A1', 'A2');
  await world.until(world.now + 2_000);
  expect(await outcomes.delivery(ID)).toMatchObject({ state: 'done', sent: 3 });
  await world.handle([acked('c', 'A3', 't/a')]);
  await removed('A3');
  await world.until(world.now + 30_000);
  expect(await outcomes.delivery(ID)).toMatchObject({ state: 'done', sent: 3 });
});

test('a delivery request fails when the client is not connected', async () => {
  const world = new PassWorld();
  world.session = () => null;
  await world.stored('t/a', 'A1');
  const outcomes = await requested(world);
  await world.until(world.now + 2_000);
  expect(await outcomes.delivery(ID)).toMatchObject({ state: 'failed', sent: 0, detail: expect.stringContaining('not connected') });
  expect(world.published).toEqual([]);
});

test('a delivery request fails when EMQX has no subscriber', async () => {
  const world = new PassWorld();
  world.outcome = () => ({ result: 'no-subscribers' });
  await world.stored('t/a', 'A1');
  const outcomes = await requested(world);
  await world.until(world.now + 2_000);
  expect(await outcomes.delivery(ID)).toMatchObject({ state: 'failed', sent: 0, detail: expect.stringContaining('no subscriber') });
});

test('a delivery request shows the error while it is retried', async () => {
  const world = new PassWorld({}, ({ store }) => ({
    store: Object.assign(Object.create(store) as typeof store, { listTopics: () => Promise.reject(new Error('column is broken')) }),
  }));
  const outcomes = await requested(world);
  expect(await outcomes.delivery(ID)).toMatchObject({ state: 'running', sent: 0, detail: expect.stringContaining('column is broken') });
});

test('a second delivery request right after the first has the same outcome', async () => {
  const world = new PassWorld();
  await world.stored('t/a', 'A1');
  await world.handle([deliver('c', 't/#')]);
  const outcomes = await requested(world, { at: 19_950 });
  const second = ID.replace('0b', '0c');
  await requested(world, { at: 19_960, requestId: `${second}.0` });
  await world.until(world.now + 2_000);
  for (const id of [ID, second]) expect(await outcomes.delivery(id)).toMatchObject({ state: 'done', sent: 1 });
});

test('the outcomes of two mailboxes are combined, and deleted after an hour', async () => {
  const world = new PassWorld();
  const outcomes = new Outcomes(world.state);
  const part = { clientid: 'c', filter: '$share/g/#', detail: 'x' };
  const note = (a: 'accepted' | 'running' | 'done' | 'failed', b: typeof a) =>
    outcomes.noteDeliveries(
      new Map([
        [PART, { ...part, state: a, sent: 2 }],
        [`${ID}.1`, { ...part, state: b, sent: 3 }],
      ]),
    );
  for (const [a, b, both] of [
    ['done', 'done', 'done'],
    ['done', 'running', 'running'],
    ['done', 'accepted', 'running'],
    ['accepted', 'accepted', 'accepted'],
    ['failed', 'running', 'failed'],
  ] as const) {
    await note(a, b);
    expect(await outcomes.delivery(ID)).toMatchObject({ state: both, sent: 5 });
  }
  world.now += OUTCOME_TTL_MS + 1;
  expect(await outcomes.delivery(ID)).toBeNull();
});

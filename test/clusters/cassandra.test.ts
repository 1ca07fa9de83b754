import type { Position } from '../../src/stores/store';
import { CassandraStore } from '../../src/stores/cassandra';
import { settingsOf } from '../support/keyspace';
import { message } from '../support/messages';
import { waitFor } from '../support/wait';
import { Backlog, Calls, contentsOf, LIFE_MS } from './backlog';
import { CassandraCluster } from './cassandra-cluster';

const LANES = [0, 1, 2];
/** So many batches are saved before the outage, and after all nodes have noticed it. */
const BATCHES = 30;
/** The seed stays at first, and is the second to die. The third node is always up. */
const [SECOND_TO_DIE, FIRST_TO_DIE, SURVIVOR] = [0, 1, 2];
/** docs/databases/cassandra.md: requests to a node that vanishes take up to 12 s. */
const SLOWEST_MS = 15_000;

/** Each test continues where the one before it has ended. Every node has all data; the store writes to and reads from two of three. */
describe('Cassandra with three nodes', () => {
  const cluster = new CassandraCluster();
  const notes: string[] = [];
  let store: CassandraStore;
  let backlog: Backlog;
  let position: Position;
  const retained = message({ topic: 'retained/outage', retain: true });
  const contents = (reader: CassandraStore, calls: Calls) => contentsOf(reader, 'cluster/#', calls);

  beforeAll(async () => {
    const start = Date.now();
    await cluster.start();
    store = new CassandraStore(settingsOf(cluster.url));
    await store.migrate();
    for (const node of [FIRST_TO_DIE, SECOND_TO_DIE, SURVIVOR]) await cluster.sees(node, 'all up');
    backlog = new Backlog(store);
    notes.push(`three nodes and the schema took ${Date.now() - start} ms`);
  }, 360_000);
  afterAll(async () => {
    await store?.close();
    await cluster.stop();
    process.stderr.write(notes.map((note) => `cluster: ${note}\n`).join(''));
  }, 60_000);

  it('saves on while a node is killed', async () => {
    let isSaving = true;
    let [before, unnoticed, start] = [0, 0, 0];
    const outage = async (): Promise<void> => {
      try {
        await waitFor('the first batches', () => backlog.batches >= BATCHES, 60_000);
        await cluster.kill(FIRST_TO_DIE);
        [before, start] = [backlog.batches, Date.now()];
        await Promise.all([SECOND_TO_DIE, SURVIVOR].map((node) => cluster.sees(node, 'one down')));
        unnoticed = backlog.batches - before;
        notes.push(`the other nodes noticed the dead one after ${Date.now() - start} ms`);
        await waitFor('batches that know of the outage', () => backlog.batches - before - unnoticed >= BATCHES, 60_000);
      } finally {
        isSaving = false;
      }
    };
    await Promise.all([...LANES.map((lane) => backlog.publish(lane, () => isSaving)), outage()]);
    const { calls, batches } = backlog;
    notes.push(
      `${backlog.all().length} messages in ${batches} batches, of which ${batches - before} were confirmed during the outage ` +
        `(${unnoticed} before it was noticed) within ${Date.now() - start} ms; ${calls.retried} calls were repeated; the slowest took ${calls.slowestMs} ms`,
    );
    expect(unnoticed).toBeGreaterThan(0);
    expect(calls.slowestMs).toBeLessThan(SLOWEST_MS);
  }, 240_000);

  it('removes a third of them while that node is down', async () => {
    const start = Date.now();
    const third = backlog.thirds();
    await backlog.remove(third);
    notes.push(`${third.length} messages were removed during the outage within ${Date.now() - start} ms`);
    // A second publish right after the removal. The store takes another way for it than for one that comes late.
    const fresh = Array.from({ length: 20 }, () => message({ topic: 'cluster/again' }));
    await backlog.save(fresh);
    await backlog.remove(fresh);
    await backlog.save(fresh);
    // These are written by lightweight transactions.
    position = { consumer: 'reader', topic: third[0]?.topic ?? '', id: third[0]?.id ?? '', receipts: [], version: 7 };
    await backlog.calls.run(() => store.putPositions([position]));
    await backlog.calls.run(() => store.putRetained([retained]));
    expect(await contents(store, new Calls())).toEqual(backlog.expected());
  }, 180_000);

  it('loses nothing and brings nothing back when that node returns and another one is killed', async () => {
    await cluster.startNode(FIRST_TO_DIE);
    for (const node of [FIRST_TO_DIE, SURVIVOR]) await cluster.sees(node, 'all up');
    await cluster.kill(SECOND_TO_DIE);
    const [start, calls] = [Date.now(), new Calls()];
    const reader = new CassandraStore(settingsOf(cluster.url));
    const expected = backlog.expected();
    try {
      expect(await contents(reader, calls)).toEqual(expected);
      expect(await calls.run(() => reader.getPositions(position.consumer, [position.topic]))).toEqual([position]);
      expect(await calls.run(() => reader.listRetained({ filter: 'retained/#', after: '', limit: 10 }))).toEqual([retained]);
      notes.push(
        `${backlog.left().length} messages were read with another node dead within ${Date.now() - start} ms; ` +
          `${calls.retried} calls were repeated; the slowest took ${calls.slowestMs} ms`,
      );
      // EMQX sends every publish a second time: removed ones stay removed, and stored ones stay as they are.
      await backlog.save(backlog.all());
      expect(await contents(reader, calls)).toEqual(expected);
    } finally {
      await reader.close();
    }
  }, 240_000);

  it('counts and purges while a node is dead', async () => {
    const { calls } = backlog;
    const left = backlog.left();
    expect(await calls.run(() => store.countMessages())).toBe(left.length);
    const lasting = left.filter(({ expiresAt }) => expiresAt === null);
    const [start, later] = [Date.now(), Date.now() + LIFE_MS + 60_000];
    let purged = 0;
    for (let more = true; more;) {
      const step = await calls.run(() => store.purgeExpired(later, 1_000));
      purged += step.removed;
      more = step.more;
    }
    notes.push(`${purged} expired messages were purged within ${Date.now() - start} ms; ${calls.retried} calls were repeated until then`);
    expect(lasting.length).toBeLessThan(left.length);
    expect(await contents(store, calls)).toEqual(backlog.expected(({ expiresAt }) => expiresAt === null));
    expect(await calls.run(() => store.countMessages())).toBe(lasting.length);
  }, 180_000);
});

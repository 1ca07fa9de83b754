import { emptyDatabase } from '../support/database';
import { World } from './world';

/** Three servers on one queue: they keep the order, nothing is repeated, and one of them may go. */
export async function severalServers(postgres: string, name: string, queue: string): Promise<void> {
  const world = await World.start({ env: { STORE_URL: await emptyDatabase(postgres, `offline_several_${name}`), QUEUE_URL: queue } });
  const others = [await world.startAnother(), await world.startAnother()];
  try {
    const texts = Array.from({ length: 300 }, (_, i) => `m${i}`);
    for (const text of texts.slice(0, 150)) await world.publish('t/1', text);
    // One goes in the middle; the others take over what it had.
    const gone = others.pop()?.stop();
    for (const text of texts.slice(150)) await world.publish('t/1', text);
    await gone;
    await world.storedCount(300);
    const subscriber = await world.subscriber('several');
    await subscriber.subscribe('t/1');
    expect(await subscriber.receives(300)).toEqual(texts);
    await world.storedCount(0);
    await world.quiet();
    expect(subscriber.texts).toHaveLength(300);
  } finally {
    // Left running, the servers would fail the next test file of this process when its modules are gone.
    await Promise.all(others.map((server) => server.stop()));
    await world.stop();
  }
}

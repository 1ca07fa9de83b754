import { message } from '../support/messages';
import { deliver, PassWorld } from './pass-world';

const CLIENTS = 64;
const EACH = 100;
const MB = 1024 * 1024;

/** What a pass has read and not yet given to EMQX, in bytes. */
async function mostInMemory(payload: Buffer): Promise<number> {
  const world = new PassWorld();
  const clients = Array.from({ length: CLIENTS }, (_, i) => `c${i}`);
  for (const topic of clients)
    await world.store.saveMessages(Array.from({ length: EACH }, () => message({ topic, payload, publishReceivedAt: 1 })));
  let [held, most] = [0, 0];
  const list = world.store.listMessages.bind(world.store);
  world.store.listMessages = async (query) => {
    const found = await list(query);
    held += found.length * payload.length;
    most = Math.max(most, held);
    return found;
  };
  world.publishing = () => void (held = 0);
  expect(await world.handle(clients.map((clientid) => deliver(clientid, clientid)))).toEqual([]);
  for (const clientid of clients) expect((await world.mailbox(clientid))?.out.size).toBeGreaterThan(0);
  return most;
}

// Promise 14. All clients come back at once, and until its first page nobody knows how large the messages are.
// The guard is FIRST_PARALLEL: with 64 pages at a time a gigabyte was in memory, whatever the machine had.
it.each([
  ['100 KB', MB / 10],
  ['1 KB', 1024],
])('reads little more than it publishes at once, for messages of %s', async (_, bytes) => {
  expect(await mostInMemory(Buffer.alloc(bytes))).toBeLessThan(64 * MB);
});

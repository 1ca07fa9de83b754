import type { Message } from '../../src/mqtt/message';
import type { Position, Store } from '../../src/stores/store';
import { message, newId } from '../support/messages';

const DAY_MS = 86_400_000;
const NOW = Date.now();
const LONG_TOPIC = `long/${'x'.repeat(3_000)}`;

const many = Array.from({ length: 700 }, (_, i) => message({ topic: `many/${i}` }));
const deep = Array.from({ length: 600 }, (_, i) =>
  message({ topic: 'deep', payload: Buffer.from(`payload ${i}`), expiresAt: NOW + DAY_MS }),
);
const special = [
  message({
    topic: '$SYS/a',
    clientid: 'ü',
    username: 'user',
    qos: 2,
    retain: true,
    properties: {
      contentType: 'text/plain',
      correlationData: 'AAE=',
      userProperties: [
        { key: 'a', value: 'b' },
        { key: 'a', value: 'c' },
      ],
    },
  }),
  message({ topic: LONG_TOPIC, payload: Buffer.from([0, 255, 1]) }),
  message({ topic: 'large', payload: Buffer.alloc(50_000, 7) }),
  message({ topic: 'empty', payload: Buffer.alloc(0) }),
];
const living = [...many, ...deep, ...special];
const expired = [message({ topic: 'deep', expiresAt: NOW - 1 }), message({ topic: 'expired', expiresAt: NOW - 1 })];
const retained = ['retained/a', 'retained/b'].map((topic) => message({ topic, retain: true, payload: Buffer.from(topic) }));
const expiredRetained = message({ topic: 'retained/c', retain: true, expiresAt: NOW - 1 });
const positions = Array.from({ length: 300 }, (_, i): Position => ({
  consumer: i < 250 ? 'client' : '$share/group',
  topic: `read/${i}`,
  id: newId(),
  receipts: [`@${NOW - (NOW % DAY_MS)}`, newId()],
  version: i + 1,
}));
const clients = ['client', 'other', 'third'];

export const MESSAGES = living.length;
/** Of both kinds. */
export const EXPIRED = expired.length + 1;

export async function fill(store: Store): Promise<void> {
  await store.saveMessages([...living, ...expired]);
  await store.putRetained([...retained, expiredRetained]);
  await store.putPositions(positions);
  await store.saveClientStates(
    clients.map((clientid, i) => ({
      clientid,
      connected: false,
      node: i === 0 ? 'emqx@a' : null,
      connectedAt: 900,
      disconnectedAt: i === 1 ? null : 1_000,
      at: 1_000 + i,
    })),
  );
  await store.putSubscriptions([
    { clientid: 'client', topic: 'assigned/#', qos: 2 },
    { clientid: 'client', topic: '$share/group/seen/+', qos: 1, seenAt: 1_000 },
    { clientid: 'client', topic: 'seen', qos: 0, seenAt: 1_001 },
    { clientid: 'other', topic: 'seen', qos: 1, seenAt: NOW },
  ]);
}

/** What can be found through the interface of all stores. */
export async function contentsOf(store: Store) {
  const topics = [...new Set(living.map(({ topic }) => topic))].sort();
  const messages: Message[] = [];
  for (const topic of topics) messages.push(...(await store.listMessages({ topic, after: '', limit: 1_000, now: NOW })));
  return {
    topics: await store.listTopics({ filter: 'many/+', after: '', limit: 1_000 }),
    messages,
    retained: (await store.listRetained({ filter: '#', after: '', limit: 100 })).filter(({ topic }) => topic !== expiredRetained.topic),
    positions: await Promise.all(['client', '$share/group'].map((consumer) => store.listPositions(consumer, '', 1_000))),
    readers: await store.positionsOfTopic('read/260'),
    states: await Promise.all(clients.map((clientid) => store.getClientState(clientid))),
    subscriptions: await Promise.all(clients.map((clientid) => store.listSubscriptions(clientid))),
  };
}

import type { Delivery, EmqxApi } from '../../src/emqx/api';
import { Deliverer } from '../../src/mailbox/deliver/deliverer';
import { Signer } from '../../src/mailbox/signature';
import { createMetrics } from '../../src/base/metrics';
import type { DeliveryRequest } from '../../src/lanes/jobs';
import type { SharedState } from '../../src/lanes/state';
import type { Store } from '../../src/stores/store';
import { MemoryStore } from '../support/memory-store';
import { message } from '../support/messages';
import { policy } from '../support/policies';

async function subject(fields: Parameters<typeof policy>[0] = {}) {
  const store = new MemoryStore();
  await store.saveMessages(['A', 'B', 'C'].map((id) => message({ topic: 't', id, publishReceivedAt: 1 })));
  const [values, leases] = [new Map<string, string>(), new Map<string, string>()];
  const published: string[] = [];
  const opened: string[] = [];
  const turns: unknown[] = [];
  const later: number[] = [];
  const state: SharedState = {
    getOrSet: async (_key, value) => value,
    get: async (key) => values.get(key) ?? null,
    set: async (key, value) => void values.set(key, value),
    delete: async (key) => void values.delete(key),
    raise: async () => undefined,
    setAll: async () => undefined,
    getAll: async () => new Map(),
    lease: async (ids, owner) => {
      const granted = ids.filter((id) => !leases.has(id));
      for (const id of granted) leases.set(id, owner);
      return { granted: new Set(granted), own: new Set(ids.filter((id) => !granted.includes(id) && leases.get(id) === owner)) };
    },
    release: async (ids) => ids.forEach((id) => leases.delete(id)),
    purge: async () => false,
  };
  const deliverer = new Deliverer({
    store: store as unknown as Store,
    emqx: {
      subscribe: async (clientid: string) => (opened.push(clientid), 'subscribed'),
      publish: async (messages: Delivery[]) => {
        published.push(...messages.map(({ topic, properties }) => `${topic} ${properties.userProperties['offline-msgid']}`));
        return messages.map(() => ({ result: 'delivered' as const }));
      },
    } as unknown as EmqxApi,
    state,
    lanes: {
      forget: async () => undefined,
      recheck: async () => undefined,
      recheckLater: async (_requests, delay) => void later.push(delay),
      resumeLater: async () => undefined,
      dropped: async () => undefined,
      progress: async () => undefined,
      turn: async (...args) => void turns.push(args),
    },
    policies: [policy({ mode: 'pubsub', deliverTo: 'inbox', ...fields })],
    signer: new Signer('key'),
    acks: { known: async () => new Set() },
    metrics: createMetrics(),
    setAside: async () => undefined,
    now: () => 20_000,
  });
  const request = (clientid: string, more: Partial<DeliveryRequest> = {}): DeliveryRequest => ({ clientid, filter: 't', qos: 1, at: 10_000, ...more });
  const subscribe = (...requests: DeliveryRequest[]) => deliverer.handle({ name: 'subscribed', data: { requests, turn: true } }, false);
  return { store, deliverer, published, opened, turns, later, request, subscribe };
}

describe('delivery in pubsub mode', () => {
  it('waits for its turn in the lane', async () => {
    const { deliverer, published, turns, request } = await subject();
    await deliverer.handle({ name: 'subscribed', data: { requests: [request('c')] } }, false);
    expect(published).toEqual([]);
    expect(turns).toEqual([['subscribed', [request('c')]]]);
    await deliverer.handle({ name: 'gathered', data: { requests: [request('c')], then: 'recheck' } }, false);
    expect(turns[1]).toEqual(['recheck', [request('c')], true]);
  });

  it('sends each consumer what it has not read: a message that is on its way to one is free for the other', async () => {
    const { store, published, request, subscribe } = await subject();
    await store.putPositions([{ consumer: 'd', topic: 't', id: 'A', receipts: ['C'] }]);
    await subscribe(request('c'));
    await subscribe(request('d'));
    expect(published).toEqual(['$offline/c/t A', '$offline/c/t B', '$offline/c/t C', '$offline/d/t B']);
  });

  it('has one window for a group, and sends to the member that subscribed', async () => {
    const { published, later, request, subscribe } = await subject();
    const of = (clientid: string) => request(clientid, { filter: '$share/g/t', consumer: '$share/g' });
    await subscribe(of('m1'));
    await subscribe({ ...of('m2'), at: 19_000 + 4_000 });
    expect(published).toEqual(['A', 'B', 'C'].map((id) => `$offline/m1/t ${id}`));
    // The other member may still acknowledge: after the grace, not after a storm.
    expect(later).toEqual([10_000, 10_000]);
  });

  // Promise 6. The guard is upToUncertain in Sender: a client that reconnects at once would get C before A and B.
  it('promise 6: sends nothing behind what may be lost with the last connection, until that is acknowledged or sent again', async () => {
    const { store, deliverer, published, later, request, subscribe } = await subject();
    store.messages.delete('C');
    await subscribe(request('c'));
    expect(published).toEqual(['$offline/c/t A', '$offline/c/t B']);
    await store.saveMessages([message({ topic: 't', id: 'C', publishReceivedAt: 2 })]);
    published.length = 0;
    await subscribe(request('c', { at: 21_000 }));
    expect(published).toEqual([]);
    expect(later).toContain(2_000);
    await deliverer.handle({ name: 'recheck', data: { requests: [request('c', { at: 21_000 })], turn: true } }, false);
    expect(published).toEqual(['$offline/c/t A', '$offline/c/t B', '$offline/c/t C']);
  });

  it('promise 6: goes on when it was not lost', async () => {
    const { store, deliverer, published, request, subscribe } = await subject();
    store.messages.delete('C');
    await subscribe(request('c'));
    await store.saveMessages([message({ topic: 't', id: 'C', publishReceivedAt: 2 })]);
    await subscribe(request('c', { at: 21_000 }));
    published.length = 0;
    await store.putPositions([{ consumer: 'c', topic: 't', id: '', receipts: ['A', 'B'] }]);
    await deliverer.handle({ name: 'progress', data: { acks: ['A', 'B'].map((id) => ({ clientid: 'c', id })) } }, false);
    expect(published).toEqual(['$offline/c/t C']);
  });

  // Promise 6. The guard is Inbox.isNew: a connection that is new, and has not subscribed yet, would get C before A and B.
  it('promise 6: opens the inbox when a client subscribes, not when a run goes on', async () => {
    const { store, deliverer, published, opened, request, subscribe } = await subject({ window: 2 });
    await subscribe(request('c'));
    await store.putPositions([{ consumer: 'c', topic: 't', id: '', receipts: ['A', 'B'] }]);
    await deliverer.handle({ name: 'progress', data: { acks: ['A', 'B'].map((id) => ({ clientid: 'c', id })) } }, false);
    expect(published).toHaveLength(3);
    expect(opened).toEqual(['c']);
  });

  // Promise 16.
  it.each([
    ['settle', ['A', 'B', 'C']],
    ['keep', []],
  ] as const)('16: counts what a QoS 0 subscriber was sent (%s)', async (qos0, read) => {
    const { store, request, subscribe } = await subject({ qos0 });
    await subscribe(request('c', { qos: 0 }));
    const [position] = await store.getPositions('c', ['t']);
    expect((position?.receipts ?? []).filter((each) => !each.startsWith('@'))).toEqual(read);
    expect(store.messages.size).toBe(3);
  });
});

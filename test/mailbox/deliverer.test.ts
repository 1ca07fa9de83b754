import { createHash } from 'node:crypto';
import type { Delivery, EmqxApi } from '../../src/emqx/api';
import { RetryableError } from '../../src/base/errors';
import { Deliverer } from '../../src/mailbox/deliver/deliverer';
import { Signer } from '../../src/mailbox/signature';
import { EMPTY, sent, type Window } from '../../src/mailbox/deliver/window';
import { createMetrics } from '../../src/base/metrics';
import type { DeliveryRequest } from '../../src/lanes/jobs';
import type { SharedState } from '../../src/lanes/state';
import type { Store } from '../../src/stores/store';
import { message } from '../support/messages';
import { policy } from '../support/policies';

const request: DeliveryRequest = { clientid: 'c', filter: 't', qos: 1, at: 10_000 };
const key = `window:${createHash('sha256').update('c').digest('hex')}`;

/** The shared state and EMQX as maps and lists; one stored message. */
function subject(window: Window | null, leases: Record<string, string> = {}, slow: { leaseMs?: number; publishMs?: number } = {}, acked: string[] = []) {
  let now = 20_000;
  const stored = [message({ topic: 't', id: 'M', publishReceivedAt: 1 })];
  const values = new Map<string, string>(window === null ? [] : [[key, JSON.stringify(window)]]);
  const published: Delivery[] = [];
  const rechecks: { name: string; requests: readonly DeliveryRequest[] }[] = [];
  const later: { requests: readonly DeliveryRequest[]; delay: number }[] = [];
  const state: SharedState = {
    getOrSet: async (_key, value) => value,
    get: async (name) => values.get(name) ?? null,
    set: async (name, value) => void values.set(name, value),
    delete: async (name) => void values.delete(name),
    raise: async () => undefined,
    setAll: async () => undefined,
    getAll: async () => new Map(),
    lease: async (ids, owner) => {
      now += slow.leaseMs ?? 0;
      const granted = ids.filter((id) => leases[id] === undefined);
      for (const id of granted) leases[id] = owner;
      return { granted: new Set(granted), own: new Set(ids.filter((id) => !granted.includes(id) && leases[id] === owner)) };
    },
    release: async (ids) => ids.forEach((id) => delete leases[id]),
    purge: async () => false,
  };
  const deliverer = new Deliverer({
    store: {
      listMessages: async ({ after }: { after: string }) => stored.filter(({ id }) => id > after),
      removeMessages: async () => 1,
    } as unknown as Store,
    emqx: {
      publish: async (messages: Delivery[]) => {
        published.push(...messages);
        now += slow.publishMs ?? 0;
        return messages.map(() => ({ result: 'delivered' as const }));
      },
    } as unknown as EmqxApi,
    state,
    lanes: {
      turn: async () => undefined,
      forget: async () => undefined,
      dropped: async () => undefined,
      progress: async () => undefined,
      recheck: async (requests, name = 'recheck') => void rechecks.push({ name, requests }),
      recheckLater: async (requests, delay) => void later.push({ requests, delay }),
      resumeLater: async () => undefined,
    },
    policies: [policy()],
    signer: new Signer('key'),
    acks: { known: async () => new Set(acked) },
    metrics: createMetrics(),
    setAside: async () => undefined,
    now: () => now,
  });
  const kept = () => JSON.parse(values.get(key) ?? 'null') as Window | null;
  return { deliverer, published, rechecks, later, kept, leases };
}

describe('the deliverer', () => {
  it('sends, notes what is in flight, and looks again after the grace (promise 5)', async () => {
    const { deliverer, published, later, kept } = subject(null);
    await deliverer.handle({ name: 'subscribed', data: { requests: [request] } }, false);
    expect(published).toHaveLength(1);
    expect(kept()).toEqual({ runs: [], inFlight: { M: 20_000 } });
    expect(later).toEqual([{ requests: [request], delay: 10_000 }]);
  });

  // The guard is takenOver in Deliverer.handle: an ack accepted since the job was first started may still be in its lane.
  it.each(['subscribed', 'recheck'] as const)('puts a taken over %s behind the writes again and sends nothing', async (name) => {
    const { deliverer, published, rechecks, later } = subject(null);
    await deliverer.handle({ name, data: { requests: [request] } }, true);
    expect(published).toEqual([]);
    // A subscription stays one: it is looked at after the grace, whoever started it (promise 5).
    expect(rechecks).toEqual([{ name, requests: [request] }]);
    expect(later).toEqual([]);
  });

  it('counts the acks of a taken over job, and goes on behind the writes', async () => {
    const run = { ...request, topic: 't', id: '', sent: 1, window: 4, leaveRetained: false };
    const { deliverer, published, rechecks, kept } = subject({ ...sent(EMPTY, ['A', 'B'], 1), runs: [run] });
    await deliverer.handle({ name: 'progress', data: { acks: [{ clientid: 'c', id: 'A' }] } }, true);
    expect(published).toEqual([]);
    expect(kept()?.inFlight).toEqual({ B: 1 });
    expect(rechecks).toEqual([{ name: 'recheck', requests: [request] }]);
  });

  // Promise 6. The guard is `stop` in Sender.sendPage.
  it('waits behind a message that it may have sent before it died', async () => {
    const owner = createHash('sha256').update('c').digest('hex');
    const { deliverer, published, later } = subject(null, { M: owner });
    await deliverer.handle({ name: 'subscribed', data: { requests: [request] } }, false);
    expect(published).toEqual([]);
    expect(later.map(({ delay }) => delay)).toEqual([10_000, 2_000]);
  });

  // A process that stood still must not send what others have sent, and got acknowledged, meanwhile. The guard is FRESH_MS in PageSender.
  it('reads again what it read too long ago, and keeps no lease on it', async () => {
    const slow = { leaseMs: 12_000 };
    const { deliverer, published, leases } = subject(null, {}, slow);
    const job = { name: 'subscribed', data: { requests: [request] } } as const;
    await expect(deliverer.handle(job, false)).rejects.toThrow(RetryableError);
    expect(published).toEqual([]);
    expect(leases).toEqual({});
    slow.leaseMs = 0;
    await deliverer.handle(job, false);
    expect(published).toHaveLength(1);
  });

  // Under load an accepted ack waits in its lane, behind a delivery. The guard: acknowledged() in PageSender.publish.
  it('does not send what was acknowledged and is in the store still', async () => {
    const { deliverer, published, kept } = subject(null, {}, undefined, ['M']);
    await deliverer.handle({ name: 'subscribed', data: { requests: [request] } }, false);
    expect(published).toEqual([]);
    expect(kept()).toBeNull();
  });

  // While EMQX answers the client may lose its connection with the message and subscribe with another one.
  it('promise 6: counts what it sends from before EMQX has it, not from its answer', async () => {
    const { deliverer, kept } = subject(null, {}, { publishMs: 3_000 });
    await deliverer.handle({ name: 'subscribed', data: { requests: [request] } }, false);
    expect(kept()?.inFlight).toEqual({ M: 20_000 });
  });

  it('forgets a client when everything is acknowledged', async () => {
    const { deliverer, kept } = subject(sent(EMPTY, ['A'], 1));
    await deliverer.handle({ name: 'progress', data: { acks: [{ clientid: 'c', id: 'A' }] } }, false);
    expect(kept()).toBeNull();
  });
});

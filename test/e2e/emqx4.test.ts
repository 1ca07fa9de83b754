import { limits } from './limits';
import { mainFlow } from './main-flow';
import { offlineOnly } from './offline-only';
import { promises } from './promises';
import { pubsub } from './pubsub';
import { resuming } from './resuming';
import { onOneServer, type Stage, type Suite } from './stage';

/** Tests of behaviour that differs with EMQX 4. */
const special: Suite = {
  name: 'differences of EMQX 4',
  policies: [
    { filter: 't/settle', settle: 'delivered' },
    { filter: 't/box/#', deliverTo: 'inbox' },
  ],
  tests: own,
};

function own(stage: Stage): void {
  it('GET /readyz shows the version of EMQX', async () => {
    const { checks } = (await (await stage.world.request('GET', '/readyz')).json()) as { checks: { name: string; detail: string }[] };
    expect(checks.find(({ name }) => name === 'emqx')?.detail).toBe('EMQX 4.4.19');
  });

  // The guard is Presence: EMQX 4 would take them, and they would be removed.
  it('a client that disconnects before the delivery loses nothing with settle: delivered', async () => {
    const { world } = stage;
    await world.publish('t/settle', 'a');
    await world.storedCount(1);
    const release = world.emqx.action.hold(({ event }) => event === 'session.subscribed');
    const subscriber = await world.subscriber('gone');
    await subscriber.subscribe('t/settle');
    await world.breakOff(subscriber);
    release.release();
    await world.quiet();
    await world.storedCount(1);
    expect(world.delivered).toEqual([]);
    const again = await world.subscriber('gone');
    await again.subscribe('t/settle');
    expect(await again.receives(1)).toEqual(['a']);
    await world.storedCount(0);
  });

  it('a message sent to a client that has unsubscribed stays stored until it subscribes again', async () => {
    const { world } = stage;
    await world.publish('t/unsubscribed', 'a');
    await world.storedCount(1);
    const subscriptions = world.emqx.action.hold(({ event }) => event === 'session.subscribed');
    const subscriber = await world.subscriber('stays');
    await subscriber.subscribe('t/unsubscribed');
    await subscriber.client.unsubscribeAsync('t/unsubscribed');
    subscriptions.release();
    await world.quiet();
    expect([world.delivered, (await world.stored()).length]).toEqual([['a'], 1]);
    await world.timePasses();
    await subscriber.subscribe('t/unsubscribed');
    await world.quiet();
    await world.timePasses(60_000);
    expect(await subscriber.receives(1)).toEqual(['a']);
    await world.storedCount(0);
  });

  it('with settle: delivered a message is removed before its acknowledgement is reported', async () => {
    const { world } = stage;
    const acks = world.emqx.action.hold(({ event }) => event === 'message.acked');
    for (const text of ['a', 'b']) await world.publish('t/settle', text);
    await world.storedCount(2);
    const subscriber = await world.subscriber('untold');
    await subscriber.subscribe('t/settle');
    expect(await subscriber.receives(2)).toEqual(['a', 'b']);
    await world.storedCount(0);
    expect(acks.count()).toBeGreaterThan(0);
    acks.release();
  });

  // EMQX 4 would subscribe the client to other topics.
  it('a client id with a comma gets no inbox, and its messages stay for others', async () => {
    const { world } = stage;
    await world.publish('t/box/1', 'x');
    await world.storedCount(1);
    const subscriber = await world.subscriber('a,b');
    await subscriber.subscribe('t/box/1');
    await world.quiet();
    expect([subscriber.texts, world.emqx.rest.subscribes, world.delivered]).toEqual([[], [], []]);
    const other = await world.subscriber('c');
    await other.subscribe('t/box/1');
    expect(await other.receives(1)).toEqual(['x']);
    await world.storedCount(0);
  });
}

/** The main flow, wildcards and inboxes (promises), read positions, resumed sessions and limits, with an EMQX 4.4. */
onOneServer(
  'with EMQX 4.4 and the embedded store and queue',
  () => ({}),
  [mainFlow, promises, pubsub, limits, resuming, offlineOnly, special],
  'whole',
  4,
);

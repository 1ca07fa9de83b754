import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { World } from './world';

it('all 510 subscriptions of a client are restored, in two requests to EMQX', async () => {
  const directory = temporaryDirectory();
  const world = await World.start({ rules: ['full'], env: { DATA_DIR: directory.path } });
  try {
    const inBroker = () => world.emqx.broker.sessions.get('many')?.subscriptions.size;
    const wanted = Array.from({ length: 510 }, (_, i) => ({ topic: `many/${String(i).padStart(5, '0')}`, qos: 1 }));
    await world.request('PUT', '/v1/clients/many/subscriptions', { subscriptions: wanted });
    await world.quiet();
    // An event each, one after the other, would take this test longer than all that it is about.
    world.emqx.action.hold(({ event }) => event.startsWith('session.'));
    await world.subscriber('many');
    await waitFor('the subscriptions', () => inBroker() === wanted.length);
    expect(world.emqx.rest.subscribes.map(({ entries }) => entries.length)).toEqual([500, 10]);
    await world.quiet();
    const listed: unknown[] = [];
    for (let next: string | null = ''; next !== null;) {
      const answer = await world.request('GET', `/v1/clients/many/subscriptions?limit=400${next === '' ? '' : `&after=${next}`}`);
      const page = (await answer.json()) as { subscriptions: unknown[]; next: string | null };
      listed.push(...page.subscriptions);
      next = page.next;
    }
    expect(listed).toEqual(wanted);
    await world.request('DELETE', '/v1/clients/many/subscriptions');
    await waitFor('the end of them', () => inBroker() === 0);
    await world.quiet();
    expect(await (await world.request('GET', '/v1/clients/many')).json()).toMatchObject({ subscription_count: 0 });
  } finally {
    await world.stop();
    directory.remove();
  }
}, 60_000);

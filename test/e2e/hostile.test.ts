import { temporaryDirectory } from '../support/temp';
import { World } from './world';

describe('clients with names that EMQX’s REST API has no path for', () => {
  const directory = temporaryDirectory();
  let world: World;
  afterEach(() => world.stop());
  afterAll(() => directory.remove());

  // The guard is pathSegment: without it EMQX's 404 (or 414) is tried for ever, and the client lane of the name waits for it.
  it('do not stop deliveries to other clients', async () => {
    const POLICIES = JSON.stringify([{ filter: '#', deliverTo: 'inbox' }]);
    world = await World.start({ rules: ['full'], env: { DATA_DIR: directory.path, POLICIES } });
    await world.publish('t/1', 'kept');
    await world.storedCount(1);
    for (const name of ['..', '.', 'x'.repeat(9_000)]) {
      const hostile = await world.subscriber(name);
      await hostile.subscribe('t/1');
      const path = `/v1/clients/${name.startsWith('.') ? name.replaceAll('.', '%2e') : name}/subscriptions`;
      const body = JSON.stringify({ subscriptions: [{ topic: 't/9', qos: 1 }] });
      await fetch(`${world.server.url}${path}`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body });
    }
    // More than there are client lanes.
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
      const client = await world.subscriber(name);
      await world.publish(`t/own/${name}`, name);
      await world.storedCount(1, `t/own/${name}`);
      await client.subscribe(`t/own/${name}`);
      expect(await client.receives(1)).toEqual([name]);
    }
    await world.quiet();
    expect((await world.stored('t/1')).map(({ text }) => text)).toEqual(['kept']);
  });
});

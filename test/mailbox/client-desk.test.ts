import { ClientDesk } from '../../src/mailbox/clients/client-desk';
import { clientKey } from '../../src/mqtt/consumer';
import { Letters } from '../../src/dead-letters/letters';
import type { DeadLetter } from '../../src/dead-letters/box';
import { policy } from '../support/policies';
import { deliver, PassWorld } from './pass-world';

/** The desk of a world; `letters` are in the box, the newest first. */
function desk(world: PassWorld, letters: Pick<DeadLetter, 'event' | 'reason'>[] = [], isWell = true): ClientDesk {
  const box = { newest: async () => letters.map((letter, i) => ({ id: String(i), source: null, at: world.now, ...letter })) };
  return new ClientDesk({
    lanes: { put: async () => undefined },
    state: world.state,
    store: world.store.asStore(),
    letters: new Letters({ box } as unknown as ConstructorParameters<typeof Letters>[0]),
    policies: [policy({})],
    emqx: { health: async () => ({ ok: isWell, detail: '' }) },
    now: () => world.now,
  });
}

const texts = async (of: ClientDesk, clientid = 'c') => (await of.explanation(clientid, null, [])).map(({ text }) => text).join('\n');

test("the explanation says whether messages are stored for the client's filters", async () => {
  const world = new PassWorld();
  await world.handle([deliver('c', 't/#')]);
  await world.until(world.now + 2_000);
  expect(await texts(desk(world))).toContain('Nothing is stored for t/#.');
  await world.stored('t/a', 'A1');
  expect(await texts(desk(world))).toContain('The store has messages for t/#.');
});

test('the explanation lists the dead letters of this client only', async () => {
  const world = new PassWorld();
  const letters = [
    { event: { name: 'mail', data: { events: [{ to: clientKey('c'), kind: 'deliver' }] } }, reason: 'one' },
    { event: { subscription: { clientid: 'c', topic: 't' } }, reason: 'two' },
    { event: { name: 'mail', data: { events: [{ to: clientKey('d'), kind: 'deliver' }] } }, reason: 'of d' },
    { event: 'the text of a refused body about c', reason: 'refused' },
  ];
  const found = await texts(desk(world, letters));
  expect([...found.matchAll(/after errors: (\w+)/g)].map((match) => match[1])).toEqual(['one', 'two']);
});

test('the explanation says that EMQX does not answer', async () => {
  expect(await texts(desk(new PassWorld(), [], false))).toContain("EMQX's REST API (EMQX_URL) does not answer");
});

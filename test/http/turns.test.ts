import { inTurns } from '../../src/door/turns';

type Fake = { method: string; name: string };

/** What the listener was given, and after how many rounds of the event loop. */
async function served(requests: readonly Fake[], workMs: number, sliceMs: number): Promise<{ name: string; round: number }[]> {
  const seen: { name: string; round: number }[] = [];
  let round = 0;
  const listener = inTurns((req) => {
    for (const end = performance.now() + workMs; performance.now() < end;);
    seen.push({ name: (req as unknown as Fake).name, round });
  }, sliceMs);
  for (const request of requests) listener(request as never, {} as never);
  for (; seen.length < requests.length; round++) await new Promise((resolve) => setImmediate(resolve));
  return seen;
}

const posts = (count: number): Fake[] => Array.from({ length: count }, (_, i) => ({ method: 'POST', name: String(i) }));

// Node takes one new connection each time round its loop.
test('many requests are processed in order, a few per turn of the event loop', async () => {
  const seen = await served(posts(20), 2, 4);
  expect(seen.map(({ name }) => name)).toEqual(posts(20).map(({ name }) => name));
  // At least one each time, and not all of them: the loop goes round between them.
  expect(new Set(seen.map(({ round }) => round)).size).toBeGreaterThan(4);
});

test('quick requests are processed in one turn of the event loop', async () => {
  expect(new Set((await served(posts(20), 0, 1_000)).map(({ round }) => round)).size).toBe(1);
});

test('a GET does not wait behind many POST requests', async () => {
  expect((await served([...posts(3), { method: 'GET', name: 'healthz' }], 1, 1)).map(({ name }) => name)).toEqual([
    'healthz',
    '0',
    '1',
    '2',
  ]);
});

import request from 'supertest';
import { RefusedTokens } from '../../src/door/refused-tokens';
import { createLogger } from '../../src/base/log';
import { readiness } from '../../src/ops/status';
import { publishBody } from '../events/bodies';
import { Fakes } from '../http/fakes';

const MINUTE = 60_000;

describe('events with a missing or wrong token', () => {
  let now: number;
  let tokens: RefusedTokens;
  let lines: string[];
  const post = (authorization: string) => {
    const app = new Fakes().app({ ingestToken: 'ingest-secret', adminToken: 'admin-secret', refusedTokens: tokens });
    return request(app).post('/v1/events/message.publish').set('Authorization', authorization).send(publishBody());
  };

  beforeEach(() => {
    now = Date.UTC(2026, 10, 27);
    lines = [];
    tokens = new RefusedTokens(createLogger({ destination: { write: (line: string) => void lines.push(line) } }), () => now);
  });

  it('cause one log warning that names the header and never the token', async () => {
    for (let i = 0; i < 5; i++) expect((await post('Bearer wrong-secret')).status).toBe(401);
    expect((await post('Bearer admin-secret')).status).toBe(403);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      ...{ level: 'warn', path: '/v1/events/message.publish', hasToken: true, status: 401 },
      from: expect.stringContaining('127.0.0.1') as unknown,
      msg: expect.stringMatching(
        /^event refused: its token is missing or wrong\. EMQX loses .* Authorization of EMQX's connector \(offline_store.* rules --install/,
      ) as unknown,
    });
    expect(lines[0]).not.toContain('wrong-secret');
  });

  it('are shown in /readyz for 15 minutes without making the server unready', async () => {
    const fine = { health: () => Promise.resolve({ ok: true, detail: 'fine' }) };
    const checks = () => readiness({ store: fine, queue: fine, history: [], emqx: fine, waitingFor: null, refusedTokens: tokens.detail() });
    expect((await checks()).map(({ name }) => name)).toEqual(['store', 'queue', 'emqx']);
    await post('Bearer wrong-secret');
    await post('Basic eDp5');
    const line = (await checks()).find(({ name }) => name === 'events');
    expect(line).toEqual({
      name: 'events',
      ok: true,
      detail: expect.stringMatching(
        /^2 events refused for a missing or wrong token \(last: 2026-11-27T00:00:00\.000Z, \/v1\/events\/message\.publish\)/,
      ) as unknown,
    });
    now += 16 * MINUTE;
    expect(tokens.detail()).toBeNull();
    await post('Bearer wrong-secret');
    expect(tokens.detail()).toMatch(/^1 event refused/);
  });

  it('are not reported when the token is right', async () => {
    expect((await post('Bearer ingest-secret')).status).toBe(202);
    expect([lines, tokens.detail()]).toEqual([[], null]);
  });
});

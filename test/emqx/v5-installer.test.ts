import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { Change, Wanted } from '../../src/emqx/installer';
import { ruleTemplate } from '../../src/emqx/rules';
import { InstallerV5 } from '../../src/emqx/v5-installer';
import { EmqxStandIn } from '../standin';
import { freePort } from '../support/process';

const TOKEN = 'ingest-token-of-this-test';

describe('the installer for EMQX 5', () => {
  let emqx: EmqxStandIn;
  let installer: InstallerV5;
  let server: Server;
  let url: string;
  /** What the server answers, and the events that it was sent. */
  let status: number;
  const events: { path: string; authorization: string | undefined; body: Record<string, unknown> }[] = [];

  beforeEach(async () => {
    emqx = await EmqxStandIn.start();
    emqx.rest.checksConnectors = true;
    installer = new InstallerV5({ url: emqx.apiUrl, apiKey: emqx.apiKey, apiSecret: emqx.apiSecret, backoff: { retries: 0 } });
    status = 202;
    events.length = 0;
    server = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        events.push({
          path: request.url ?? '',
          authorization: request.headers.authorization,
          body: JSON.parse(text) as Record<string, unknown>,
        });
        response.writeHead(status).end('{}');
      });
    });
    // A test closes this port and opens it again: no other connection may take it meanwhile.
    const port = await freePort();
    await once(server.listen(port, '127.0.0.1'), 'listening');
    url = `http://127.0.0.1:${port}`;
  });
  afterEach(async () => {
    installer.close();
    await emqx.stop();
    server.closeAllConnections();
    server.close();
  });

  const wanted = (more: Partial<Wanted> = {}): Wanted => ({ set: 'offline-messages', name: 'offline', topics: ['t/#'], url, ...more });
  const texts = (changes: readonly Change[]): string[] => changes.map(({ kind, what }) => `${kind} ${what}`);
  const fields = (changes: readonly Change[]): string[] =>
    changes.flatMap((change) => change.fields.map(({ path, from, to }) => `${path}: ${from} → ${to}`));
  async function carryOut(changes: readonly Change[]): Promise<string[]> {
    for (const change of changes) await change.carryOut();
    return texts(changes);
  }
  const install = async (more: Partial<Wanted> = {}) => carryOut(await installer.plan(wanted(more)));

  it('adds the missing connector, action and rule once', async () => {
    expect(await install({ token: TOKEN })).toEqual([
      'add connector http:offline_store',
      'add action http:offline_messages',
      'add rule offline_messages',
    ]);
    expect(await installer.plan(wanted({ token: TOKEN }))).toEqual([]);
    expect(emqx.rest.installed.connectors['offline_store']).toMatchObject({
      url,
      pool_type: 'hash',
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect(emqx.rest.installed.actions['offline_messages']).toMatchObject({
      connector: 'offline_store',
      resource_opts: { request_ttl: 'infinity' },
    });
    expect(emqx.rest.installed.rules['offline_messages']).toMatchObject({ actions: ['http:offline_messages'] });
  });

  it('shows and changes only what differs', async () => {
    await install();
    const changes = await installer.plan(wanted({ url: 'http://elsewhere:8480', topics: ['t/#', 'u/+'] }));
    expect(texts(changes)).toEqual(['change connector http:offline_store', 'change rule offline_messages']);
    expect(fields(changes)).toEqual([
      `url: ${url} → http://elsewhere:8480`,
      expect.stringMatching(/^sql: SELECT .*"t\/#".* → SELECT .*"t\/#", "u\/\+"/),
    ]);
    expect(emqx.rest.installed.connectors['offline_store']).toMatchObject({ url });
  });

  it('repairs settings that lose events, and keeps those of the operator', async () => {
    await install({ token: TOKEN });
    const { connectors, actions, rules } = emqx.rest.installed;
    const connector = {
      ...connectors['offline_store'],
      pool_type: 'random',
      pool_size: 32,
      ssl: { enable: false, verify: 'verify_peer', cacertfile: 'ca.pem' },
    };
    const action = {
      ...actions['offline_messages'],
      description: 'mine',
      resource_opts: { request_ttl: '45s', query_mode: 'async', max_buffer_bytes: '1GB' },
      parameters: {
        path: '/v1/events/${event}',
        method: 'post',
        body: '${payload}',
        headers: { 'content-type': 'application/json', 'x-own': '1' },
      },
    };
    emqx.rest.installed = { connectors: { offline_store: connector }, actions: { offline_messages: action }, rules };
    const changes = await installer.plan(wanted({ token: TOKEN }));
    expect(fields(changes)).toEqual([
      'pool_type: random → hash',
      'parameters.body: ${payload} → null',
      'resource_opts.request_ttl: 45s → infinity',
    ]);
    await carryOut(changes);
    expect(emqx.rest.installed.connectors['offline_store']).toMatchObject({
      pool_type: 'hash',
      pool_size: 32,
      ssl: { verify: 'verify_peer', cacertfile: 'ca.pem' },
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect(emqx.rest.installed.actions['offline_messages']).toMatchObject({
      description: 'mine',
      resource_opts: { request_ttl: 'infinity', max_buffer_bytes: '1GB' },
      parameters: { headers: { 'x-own': '1' } },
    });
    expect(emqx.rest.installed.actions['offline_messages']).not.toHaveProperty('parameters.body');
    expect(await installer.plan(wanted({ token: TOKEN }))).toEqual([]);
  });

  it('keeps changes that the operator makes before the confirmation', async () => {
    await install();
    const changes = await installer.plan(wanted({ url: 'http://elsewhere:8480' }));
    const { connectors, actions, rules } = emqx.rest.installed;
    emqx.rest.installed = { connectors: { offline_store: { ...connectors['offline_store'], pool_size: 64 } }, actions, rules };
    await carryOut(changes);
    expect(emqx.rest.installed.connectors['offline_store']).toMatchObject({ url: 'http://elsewhere:8480', pool_size: 64 });
  });

  it('detects a changed token, never shows it, and keeps it when none is given', async () => {
    await install();
    const first = await installer.plan(wanted({ token: TOKEN }));
    expect(fields(first)).toEqual(['headers.authorization: null → Bearer (INGEST_TOKEN)']);
    await carryOut(first);
    const second = await installer.plan(wanted({ token: 'another-token' }));
    expect(fields(second)).toEqual(['headers.authorization: (another token) → Bearer (INGEST_TOKEN)']);
    expect(JSON.stringify(second)).not.toContain('another-token');
    await carryOut(second);
    expect(emqx.rest.installed.connectors['offline_store']?.['headers']).toMatchObject({ authorization: 'Bearer another-token' });
    expect(await install({ url: 'http://elsewhere:8480' })).toEqual(['change connector http:offline_store']);
    expect(emqx.rest.installed.connectors['offline_store']?.['headers']).toMatchObject({ authorization: 'Bearer another-token' });
    expect(await installer.plan(wanted({ token: 'another-token', url: 'http://elsewhere:8480' }))).toEqual([]);
  });

  it('takes over a rule that was imported from the supplied file', async () => {
    const authorization = `Basic ${Buffer.from(`${emqx.apiKey}:${emqx.apiSecret}`).toString('base64')}`;
    const body = JSON.stringify(ruleTemplate('offline-messages', { url, topics: ['t/#'] }));
    expect(
      (await fetch(`${emqx.apiUrl}/configs?mode=merge`, { method: 'PUT', headers: { authorization, 'content-type': 'text/plain' }, body }))
        .status,
    ).toBe(200);
    expect(await installer.plan(wanted())).toEqual([]);
    expect(await install({ topics: ['u/#'] })).toEqual(['change rule offline_messages']);
    expect(emqx.actions).toHaveLength(1);
  });

  it('does not change objects that it did not make', async () => {
    const foreign = {
      connectors: { offline_store: { url: 'http://crm', description: 'the CRM' }, other: { url: 'http://x' } },
      actions: { other: { connector: 'other', parameters: { path: '/x' } } },
      rules: { other: { sql: 'SELECT * FROM "t/#"', actions: ['http:other'] } },
    };
    emqx.rest.installed = foreign;
    await expect(installer.plan(wanted())).rejects.toThrow(
      'connector http:offline_store is there and was not made by this command: give another --name',
    );
    expect(await installer.planRemoval('offline', null)).toEqual([]);
    expect(await install({ name: 'shop' })).toEqual([
      'add connector http:shop_store',
      'add action http:shop_messages',
      'add rule shop_messages',
    ]);
    expect(await carryOut(await installer.planRemoval('shop', null))).toEqual([
      'remove rule shop_messages',
      'remove action http:shop_messages',
      'remove connector http:shop_store',
    ]);
    expect(emqx.rest.installed).toEqual(foreign);
  });

  it.each(['action', 'rule'] as const)('does not take over a foreign %s of the same name', async (kind) => {
    emqx.rest.installed = {
      connectors: { crm: { url: 'http://crm' } },
      actions: { [kind === 'action' ? 'offline_messages' : 'crm']: { connector: 'crm', parameters: { path: '/x' } } },
      rules: { ...(kind === 'rule' && { offline_messages: { sql: 'SELECT * FROM "t/#"', actions: ['http:crm'] } }) },
    };
    await expect(installer.plan(wanted())).rejects.toThrow(/offline_messages is there and was not made by this command/);
  });

  it('supports several names side by side', async () => {
    await install({ token: TOKEN });
    await install({ name: 'north', url: 'http://north:8480', topics: ['n/#'] });
    expect(Object.keys(emqx.rest.installed.rules)).toEqual(['offline_messages', 'north_messages']);
    await carryOut(await installer.planRemoval('north', null));
    expect(await installer.plan(wanted({ token: TOKEN }))).toEqual([]);
    expect(Object.keys(emqx.rest.installed.connectors)).toEqual(['offline_store']);
  });

  it('replaces an overlapping rule set after adding the new one, and keeps client-state', async () => {
    await install();
    expect(await install({ set: 'client-state' })).toEqual(['add action http:offline_client_state', 'add rule offline_client_state']);
    expect(await install({ set: 'offline-only' })).toEqual([
      'add action http:offline_only',
      'add rule offline_only',
      'remove rule offline_messages',
      'remove action http:offline_messages',
    ]);
    expect(Object.keys(emqx.rest.installed.rules)).toEqual(['offline_client_state', 'offline_only']);
    await install({ set: 'full' });
    expect(Object.keys(emqx.rest.installed.rules)).toEqual(['offline_full']);
  });

  it('removes one set, and the connector with the last one', async () => {
    await install();
    await install({ set: 'client-state' });
    expect(await carryOut(await installer.planRemoval('offline', 'client-state'))).toEqual([
      'remove rule offline_client_state',
      'remove action http:offline_client_state',
    ]);
    expect(await carryOut(await installer.planRemoval('offline', 'offline-messages'))).toEqual([
      'remove rule offline_messages',
      'remove action http:offline_messages',
      'remove connector http:offline_store',
    ]);
    expect(await installer.planRemoval('offline', null)).toEqual([]);
  });

  it('removes no object that a foreign rule or action uses', async () => {
    await install();
    const { connectors, actions, rules } = emqx.rest.installed;
    emqx.rest.installed = { connectors, rules, actions: { ...actions, own: { connector: 'offline_store', parameters: { path: '/own' } } } };
    await expect(installer.planRemoval('offline', null)).rejects.toThrow(
      'connector http:offline_store is used by action http:own, which this command did not make',
    );
    emqx.rest.installed = {
      connectors,
      actions,
      rules: { ...rules, own: { sql: 'SELECT * FROM "x"', actions: ['http:offline_messages'] } },
    };
    await expect(installer.planRemoval('offline', null)).rejects.toThrow(
      'action http:offline_messages is used by rule own, which this command did not make',
    );
  });

  it('fails when EMQX answers 200 but does not keep the change', async () => {
    await install();
    emqx.rest.ignores = /^PUT \/connectors/;
    await expect(install({ url: 'http://elsewhere:8480' })).rejects.toThrow(
      `EMQX took the connector http:offline_store and has not kept it so: url is ${url}, and not http://elsewhere:8480`,
    );
    emqx.rest.ignores = /^DELETE \/rules/;
    await expect(carryOut(await installer.planRemoval('offline', null))).rejects.toThrow(
      'EMQX answered that the rule offline_messages is removed, and still has it',
    );
  });

  it('reports a rejected object, a wrong key and an outage of EMQX', async () => {
    const [change] = await installer.plan(wanted());
    emqx.rest.spoiled = { route: /^POST .*\/connectors$/, outage: 400 };
    await expect(change!.carryOut()).rejects.toThrow('EMQX refused the connector http:offline_store');
    const other = new InstallerV5({ url: emqx.apiUrl, apiKey: 'wrong', apiSecret: 'x', backoff: { retries: 0 } });
    await expect(other.plan(wanted())).rejects.toThrow(/EMQX_API_KEY.*401/);
    other.close();
    emqx.rest.outage = 503;
    await expect(installer.plan(wanted())).rejects.toThrow('503');
  });

  it('reports that it needs EMQX 5.4', async () => {
    emqx.rest.hasConnectors = false;
    await expect(installer.plan(wanted())).rejects.toThrow('this needs EMQX 5.4 or later');
  });

  it('waits for the connection, and reports why there is none', async () => {
    await install();
    expect(await installer.connection(wanted(), 5_000)).toEqual({ connected: true, detail: 'connected' });
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    const { connected, detail } = await installer.connection(wanted(), 300);
    expect(connected).toBe(false);
    expect(detail).toContain('connector disconnected (emqx@127.0.0.1: econnrefused)');
    setTimeout(() => server.listen(Number(new URL(url).port), '127.0.0.1'), 500);
    expect(await installer.connection(wanted(), 10_000)).toMatchObject({ connected: true });
  });

  it.each(['offline-messages', 'client-state', 'offline-only', 'full'] as const)(
    'makes EMQX send a test event through %s that the server ignores',
    async (set) => {
      await install({ set, token: TOKEN });
      expect(await installer.firstEvent(wanted({ set }), 5_000)).toMatchObject({ outcome: 'arrived' });
      expect(events).toEqual([
        {
          path: '/v1/events/session.subscribed',
          authorization: `Bearer ${TOKEN}`,
          body: expect.objectContaining({ event: 'session.subscribed', topic: '$SYS/emqx-offline-store/check' }) as unknown,
        },
      ]);
    },
  );

  it('reports that the server does not accept the test event', async () => {
    await install();
    status = 401;
    expect(await installer.firstEvent(wanted(), 5_000)).toMatchObject({ outcome: 'refused' });
    status = 503;
    expect(await installer.firstEvent(wanted(), 300)).toMatchObject({
      outcome: 'unseen',
      detail: expect.stringContaining('no answer to it yet') as unknown,
    });
    emqx.rest.testsRules = false;
    expect(await installer.firstEvent(wanted(), 300)).toMatchObject({
      outcome: 'unseen',
      detail: expect.stringContaining('5.7') as unknown,
    });
  });
});

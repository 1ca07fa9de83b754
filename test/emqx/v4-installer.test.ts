import type { Change, Wanted } from '../../src/emqx/installer';
import { ruleSql } from '../../src/emqx/rule-sql';
import { InstallerV4 } from '../../src/emqx/v4-installer';
import { EmqxStandIn } from '../standin';

/** Another rule than the one that is wanted. */
const SQL = ruleSql('client-state', ['x/#']);
const [ONE, TWO] = ['http://127.0.0.1:8480', 'http://127.0.0.1:8481'];

describe('the installer for EMQX 4.4', () => {
  let emqx: EmqxStandIn;
  let installer: InstallerV4;
  beforeEach(async () => {
    emqx = await EmqxStandIn.start({}, 4);
    installer = new InstallerV4({ url: emqx.apiUrl, apiKey: emqx.apiKey, apiSecret: emqx.apiSecret, backoff: { retries: 0 } });
  });
  afterEach(async () => {
    installer.close();
    await emqx.stop();
  });

  const wanted = (more: Partial<Wanted> = {}): Wanted => ({ set: 'offline-messages', name: 'offline', topics: ['t/#'], url: ONE, ...more });
  const texts = (changes: readonly Change[]): string[] => changes.map(({ kind, what }) => `${kind} ${what}`);
  async function carryOut(changes: readonly Change[]): Promise<string[]> {
    for (const change of changes) await change.carryOut();
    return texts(changes);
  }
  const install = async (more: Partial<Wanted> = {}) => carryOut(await installer.plan(wanted(more)));
  const ids = () => (['resources', 'rules'] as const).map((kind) => emqx.rulesV4.installed(kind).map(({ id }) => id));

  it('adds the missing resources and rule once, with a fallback server', async () => {
    const both = { fallbackUrl: TWO, token: 'secret' };
    expect(await install(both)).toEqual(['add resource offline_store', 'add resource offline_store_fallback', 'add rule offline_messages']);
    expect(await installer.plan(wanted(both))).toEqual([]);
    expect(await installer.connection(wanted(both), 1_000)).toEqual({ connected: true, detail: 'connected' });
  });

  it('recreates what differs, and removes a rule before its resource', async () => {
    await install();
    expect(await install({ url: TWO })).toEqual([
      'remove rule offline_messages',
      'remove resource offline_store',
      'add resource offline_store',
      'add rule offline_messages',
    ]);
    expect(emqx.rulesV4.installed('resources')).toMatchObject([{ config: { url: TWO } }]);
    expect(await install({ url: TWO, topics: ['u/#'] })).toEqual(['remove rule offline_messages', 'add rule offline_messages']);
    expect(await install({ url: TWO, topics: ['u/#'], set: 'full' })).toEqual(['add rule offline_full', 'remove rule offline_messages']);
  });

  // The guard is withoutToken. The token that is there may be an older one, which nothing else knows to hide.
  it('changes the token without showing the old or the new one', async () => {
    await install({ token: 'the-old-token' });
    const changes = await installer.plan(wanted({ token: 'the-new-token' }));
    expect(texts(changes)).toEqual(['remove rule offline_messages', 'add rule offline_messages']);
    expect(JSON.stringify(changes)).toContain('(hidden)');
    expect(JSON.stringify(changes)).not.toMatch(/the-(old|new)-token/);
  });

  it('reports that EMQX could not reach the server, and repairs the rule', async () => {
    emqx.rulesV4.unreachable = ONE;
    await install();
    expect(await installer.connection(wanted(), 0)).toMatchObject({
      connected: false,
      detail: expect.stringContaining('left the rule disabled') as string,
    });
    emqx.rulesV4.unreachable = null;
    expect(await install()).toEqual(['remove rule offline_messages', 'add rule offline_messages']);
    expect(await installer.connection(wanted(), 0)).toMatchObject({ connected: true });
  });

  it('removes only what it made under the given name', async () => {
    emqx.rulesV4.install('resources', { id: 'theirs', type: 'web_hook', config: { url: TWO, pool_size: 1 } });
    emqx.rulesV4.install('rules', {
      id: 'their_rule',
      rawsql: SQL,
      actions: [{ name: 'data_to_webserver', params: { $resource: 'theirs', headers: {} }, fallbacks: [] }],
    });
    await install();
    await install({ name: 'north', fallbackUrl: TWO });
    expect(await carryOut(await installer.planRemoval('north', null))).toEqual([
      'remove rule north_messages',
      'remove resource north_store',
      'remove resource north_store_fallback',
    ]);
    expect(ids()).toEqual([
      ['theirs', 'offline_store'],
      ['their_rule', 'offline_messages'],
    ]);
    await carryOut(await installer.planRemoval('offline', null));
    expect(ids()).toEqual([['theirs'], ['their_rule']]);
  });

  it('does not change foreign resources or those that another rule uses', async () => {
    emqx.rulesV4.install('resources', { id: 'offline_store', description: 'theirs', config: { url: ONE, pool_size: 1 } });
    await expect(installer.plan(wanted())).rejects.toThrow('was not made by this command');
    await install({ name: 'north' });
    emqx.rulesV4.install('rules', {
      id: 'other',
      rawsql: SQL,
      actions: [{ name: 'data_to_webserver', params: { $resource: 'north_store', headers: {} }, fallbacks: [] }],
    });
    await expect(installer.planRemoval('north', null)).rejects.toThrow('is used by rule other');
  });

  it('fails when EMQX does not keep what it wrote', async () => {
    const { install: keep } = emqx.rulesV4;
    jest
      .spyOn(emqx.rulesV4, 'install')
      .mockImplementation((kind, body) => keep.call(emqx.rulesV4, kind, kind === 'rules' ? { ...body, rawsql: SQL } : body));
    await expect(install()).rejects.toThrow('has not kept it so: rawsql');
  });
});

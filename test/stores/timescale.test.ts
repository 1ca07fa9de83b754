import { parseServiceUrl } from '../../src/config/url';
import { openStore } from '../../src/stores';
import { PostgresStore } from '../../src/stores/postgres';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { answeredHealth } from '../support/health';
import { conformance } from './conformance';

describe('timescale', () => {
  withBackends(['timescale'], ({ timescale: server }) => {
    const asPostgres = server.replace('timescale:', 'postgres:');
    let url: Promise<string> | null = null;
    const open = async () =>
      openStore(
        parseServiceUrl((await (url ??= emptyDatabase(asPostgres, 'offline_conformance'))).replace('postgres:', 'timescale:'), [
          'timescale',
        ]),
        null,
      );

    conformance('on TimescaleDB', { open });

    it('has its own name in the health check', async () => {
      const store = await open();
      expect(await answeredHealth(store)).toEqual({ ok: true, detail: expect.stringMatching(/^TimescaleDB \d/) as string });
      await store.close();
      const away = new PostgresStore({ connectionString: 'postgres://127.0.0.1:1/x' }, 'TimescaleDB');
      expect((await answeredHealth(away)).detail).toMatch(/^STORE_URL: cannot connect to TimescaleDB/);
      await away.close();
    });
  });
});

import { CassandraStore } from '../../src/stores/cassandra';
import { withBackends } from '../support/backends';
import { dropKeyspace, emptyKeyspace, settingsOf } from '../support/keyspace';
import { conformance } from './conformance';

describe('cassandra', () => {
  withBackends(['cassandra'], ({ cassandra: server }) => {
    let url: Promise<string> | null = null;
    const open = async () => new CassandraStore(settingsOf(await (url ??= emptyKeyspace(server, 'offline_conformance'))));
    afterAll(() => dropKeyspace(server, 'offline_conformance'));

    conformance('on Cassandra', { open });
  });
});

import { withBackends } from '../support/backends';
import { emptyClickHouse, openClickHouse } from '../support/clickhouse';
import { conformance } from './conformance';

describe.each([
  ['clickhouse', 'ClickHouse 18.16'],
  ['clickhouse-current', 'the current ClickHouse'],
] as const)('%s', (backend, name) => {
  withBackends([backend], (urls) => {
    const server = urls[backend];
    let url: Promise<string> | null = null;
    const open = async () => openClickHouse(await (url ??= emptyClickHouse(server, 'offline_conformance')));

    conformance(`on ${name}`, { open, many: 2_000 });
  });
});

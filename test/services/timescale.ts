import { installCertificates } from './certificates';
import { debianRoot } from './debian';
import { NOBODY } from './files';
import { checkPostgres, postgresUrl, startCluster } from './postgres-cluster';
import { PORTS, type Service } from './service';

const SERVER = { service: 'timescale', port: PORTS + 433, database: 'offline' };

/** Debian 12 has no TimescaleDB, Debian 13 has. */
const root = (): Promise<string> => debianRoot('timescale', 'trixie', ['postgresql-17', 'postgresql-17-timescaledb']);

export const timescale: Service = {
  name: SERVER.service,
  variables: { TEST_TIMESCALE_URL: postgresUrl(SERVER, 'timescale') },
  async install() {
    await Promise.all([root(), installCertificates()]);
  },
  async start() {
    const settings = ['shared_preload_libraries=timescaledb', 'timescaledb.telemetry_level=off', 'dynamic_shared_memory_type=sysv'];
    await startCluster({ ...SERVER, bin: '/usr/lib/postgresql/17/bin', identity: { ...NOBODY, root: await root() }, settings });
  },
  check: () => checkPostgres(postgresUrl(SERVER)),
};

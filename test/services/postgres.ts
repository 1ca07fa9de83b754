import { apt } from './debian';
import { CA_FILE, installCertificates } from './certificates';
import { userNamed } from './files';
import { checkPostgres, postgresTlsUrl, postgresUrl, startCluster } from './postgres-cluster';
import { PORTS, type Service } from './service';

/** The version that Debian 12 has. */
const VERSION = 15;
const SERVER = { service: 'postgres', port: PORTS + 432, database: 'offline' };

export const postgresPackage = `postgresql-${VERSION}`;
export const postgresBin = `/usr/lib/postgresql/${VERSION}/bin`;

export const postgres: Service = {
  name: SERVER.service,
  variables: { TEST_POSTGRES_URL: postgresUrl(SERVER), TEST_POSTGRES_TLS_URL: postgresTlsUrl(SERVER), TEST_CA_FILE: CA_FILE },
  async install() {
    await Promise.all([apt(postgresPackage), installCertificates()]);
  },
  start: () => startCluster({ ...SERVER, bin: postgresBin, identity: userNamed('postgres') }),
  check: () => checkPostgres(postgresUrl(SERVER)),
};

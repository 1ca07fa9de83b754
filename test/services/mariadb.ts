import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CA_FILE, certificatesFor, installCertificates } from './certificates';
import { apt } from './debian';
import { ownDirectory, serviceDirectory, userNamed } from './files';
import { checkMysql, mysqlOptions, mysqlTlsUrl, mysqlUrl, writeSetup } from './mysql-server';
import { startProcess } from './processes';
import { run } from './run';
import { PORTS, type Service } from './service';

const NAME = 'mariadb';
const PORT = PORTS + 306;

export const mariadb: Service = {
  name: NAME,
  variables: { TEST_MARIADB_URL: mysqlUrl(PORT), TEST_MARIADB_TLS_URL: mysqlTlsUrl(PORT), TEST_CA_FILE: CA_FILE },
  async install() {
    await Promise.all([apt('mariadb-server'), installCertificates()]);
  },
  async start() {
    const identity = userNamed('mysql');
    const directory = serviceDirectory(NAME);
    // The server's socket goes into this folder.
    ownDirectory(directory, identity);
    certificatesFor(directory, identity);
    writeSetup(directory, identity);
    const data = join(directory, 'data');
    if (!existsSync(join(data, 'mysql'))) {
      await run('mariadb-install-db', ['--no-defaults', `--datadir=${ownDirectory(data, identity)}`, '--user=mysql', '--skip-test-db']);
    }
    await startProcess({ service: NAME, command: 'mariadbd', args: mysqlOptions(directory, PORT), port: PORT, identity });
  },
  check: () => checkMysql(PORT),
};

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CA_FILE, certificatesFor, installCertificates } from './certificates';
import { debianRoot } from './debian';
import { as, NOBODY, ownDirectory, serviceDirectory } from './files';
import { checkMysql, mysqlOptions, mysqlTlsUrl, mysqlUrl, writeSetup } from './mysql-server';
import { startProcess } from './processes';
import { run } from './run';
import { PORTS, type Service } from './service';

const NAME = 'mysql';
const PORT = PORTS + 307;
const SERVER = '/usr/sbin/mysqld';
/** The server insists on a folder for LOAD DATA and its like otherwise. */
const FILES = '--secure-file-priv=NULL';

/** Oracle's MySQL is in no Debian release, only in unstable. */
const root = (): Promise<string> => debianRoot('mysql', 'sid', ['mysql-server-core']);

export const mysql: Service = {
  name: NAME,
  variables: { TEST_MYSQL_URL: mysqlUrl(PORT), TEST_MYSQL_TLS_URL: mysqlTlsUrl(PORT), TEST_CA_FILE: CA_FILE },
  async install() {
    await Promise.all([root(), installCertificates()]);
  },
  async start() {
    const identity = { ...NOBODY, root: await root() };
    const inside = serviceDirectory(NAME);
    const outside = ownDirectory(join(identity.root, inside), identity);
    const options = mysqlOptions(inside, PORT);
    certificatesFor(outside, identity);
    writeSetup(outside, identity);
    if (!existsSync(join(outside, 'data', 'mysql'))) {
      await run(...as(identity, SERVER, ['--no-defaults', '--initialize-insecure', `--datadir=${inside}/data`, FILES]));
    }
    await startProcess({ service: NAME, command: SERVER, args: [...options, '--mysqlx=OFF', FILES], port: PORT, identity });
  },
  check: () => checkMysql(PORT),
};

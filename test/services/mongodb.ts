import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { apt } from './debian';
import { CA_FILE, certificatesFor, installCertificates } from './certificates';
import { serviceDirectory, userNamed } from './files';
import { postgresBin, postgresPackage } from './postgres';
import { postgresUrl, startCluster } from './postgres-cluster';
import { startProcess } from './processes';
import { go } from './registries';
import { HOST, PORTS, type Service } from './service';

const NAME = 'mongodb';
const PORT = PORTS + 17;
const TLS_PORT = PORTS + 18;
/** Where FerretDB keeps its data. */
const BACKEND = { service: NAME, name: 'backend', port: PORTS + 19, database: 'ferretdb' };
const URL = `mongodb://${HOST}:${PORT}/offline`;

/** The last version that needs no PostgreSQL extension. */
const ferretdb = (): Promise<string> => go(join(__dirname, 'ferretdb.go'), { module: 'github.com/FerretDB/FerretDB', version: 'v1.24.0' });

/** MongoDB itself is in no registry that Debian machines have by default; FerretDB speaks its protocol. */
export const mongodb: Service = {
  name: NAME,
  variables: { TEST_MONGODB_URL: URL, TEST_MONGODB_TLS_URL: `mongodb://${HOST}:${TLS_PORT}/offline?tls=true`, TEST_CA_FILE: CA_FILE },
  async install() {
    await Promise.all([ferretdb(), apt(postgresPackage), installCertificates()]);
  },
  async start() {
    await startCluster({ ...BACKEND, bin: postgresBin, identity: userNamed('postgres'), settings: ['fsync=off'] });
    const { certificate, key } = certificatesFor(serviceDirectory(NAME));
    const tls = [`--listen-tls=${HOST}:${TLS_PORT}`, `--certificate=${certificate}`, `--key=${key}`];
    const args = [`--listen=${HOST}:${PORT}`, ...tls, `--postgresql-url=${postgresUrl(BACKEND)}`];
    await startProcess({ service: NAME, command: await ferretdb(), args, port: PORT });
  },
  async check() {
    const client = await MongoClient.connect(URL, { serverSelectionTimeoutMS: 2000 });
    try {
      await client.db().command({ ping: 1 });
    } finally {
      await client.close();
    }
  },
};

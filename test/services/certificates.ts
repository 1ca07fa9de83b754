import { chmodSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { copyTo, ownDirectory, type Identity } from './files';
import { apt } from './debian';
import { run } from './run';
import { SOFTWARE } from './service';

const DIRECTORY = join(SOFTWARE, 'certificates');
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3650'];

/** What a client must trust. */
export const CA_FILE = join(DIRECTORY, 'ca.pem');

let made: Promise<void> | null = null;

/** A certificate authority of our own, and one certificate for localhost that all servers share. */
export function installCertificates(): Promise<void> {
  return (made ??= make());
}

export interface CertificateFiles {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** Copies for a server, readable to its user only. */
export function certificatesFor(directory: string, owner?: Identity): CertificateFiles {
  const copy = (name: string): string => copyTo(join(DIRECTORY, name), join(directory, name), owner);
  const files = { ca: copy('ca.pem'), certificate: copy('server.pem'), key: copy('server.key') };
  chmodSync(files.key, 0o600);
  return files;
}

async function make(): Promise<void> {
  await apt('openssl');
  if (existsSync(join(DIRECTORY, 'server.pem'))) return;
  rmSync(DIRECTORY, { recursive: true, force: true });
  ownDirectory(DIRECTORY);
  const file = (name: string): string => join(DIRECTORY, name);
  const caKey = file('ca.key');
  await run('openssl', [
    'req',
    '-x509',
    ...NEW_KEY,
    '-keyout',
    caKey,
    '-out',
    CA_FILE,
    '-subj',
    '/CN=emqx-offline-store tests',
    '-addext',
    'keyUsage=critical,keyCertSign',
  ]);
  const signed = ['-CA', CA_FILE, '-CAkey', caKey, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const leaf = ['-extensions', 'usr_cert', '-subj', '/CN=localhost'];
  await run('openssl', ['req', '-x509', ...NEW_KEY, '-keyout', file('server.key'), '-out', file('server.pem'), ...leaf, ...signed]);
}

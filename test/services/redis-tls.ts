import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DIRECTORY, prepareDirectory, startProcess, type Service } from './service';

const PORT = 18396;
const PASSWORD = 'p@ss/word';
const CERTIFICATE = join(DIRECTORY, 'redis-tls', 'certificate.pem');

/** Debian's redis-server behind TLS and a password. */
export const redisTls: Service = {
  name: 'redis-tls',
  variables: { TEST_REDIS_TLS_URL: `rediss://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${PORT}/?ca=${encodeURIComponent(CERTIFICATE)}` },
  async start(directory) {
    const data = prepareDirectory(directory, 'redis-tls');
    const key = join(data, 'key.pem');
    if (!existsSync(CERTIFICATE)) {
      const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
      execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-keyout', key, '-out', CERTIFICATE, ...subject], { stdio: 'ignore' });
    }
    const tls = ['--tls-port', String(PORT), '--tls-cert-file', CERTIFICATE, '--tls-key-file', key, '--tls-ca-cert-file', CERTIFICATE, '--tls-auth-clients', 'no'];
    const durable = ['--appendonly', 'yes', '--save', '', '--maxmemory-policy', 'noeviction'];
    const args = ['--port', '0', '--bind', '127.0.0.1', '--dir', data, '--requirepass', PASSWORD, ...tls, ...durable];
    await startProcess(directory, { name: 'redis-tls', command: 'redis-server', args, port: PORT });
  },
};

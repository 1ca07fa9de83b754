import { CA_FILE, certificatesFor, installCertificates } from './certificates';
import { serviceDirectory } from './files';
import { expectAnswer, installRedis, redisCli, startRedis } from './redis-server';
import { HOST, PORTS, type Service } from './service';

const NAME = 'redis-tls';
const PORT = PORTS + 380;
/** It needs percent-encoding in a URL. */
const PASSWORD = 'p@ss/word';

/** TLS only, and with a password. */
export const redisTls: Service = {
  name: NAME,
  variables: {
    TEST_REDIS_TLS_URL: `rediss://:${encodeURIComponent(PASSWORD)}@${HOST}:${PORT}/?ca=${encodeURIComponent(CA_FILE)}`,
    TEST_CA_FILE: CA_FILE,
  },
  async install() {
    await Promise.all([installRedis(), installCertificates()]);
  },
  async start() {
    const { ca, certificate, key } = certificatesFor(serviceDirectory(NAME));
    const tls = [
      '--tls-port',
      String(PORT),
      '--tls-cert-file',
      certificate,
      '--tls-key-file',
      key,
      '--tls-ca-cert-file',
      ca,
      '--tls-auth-clients',
      'no',
    ];
    // The port that startRedis waits for is the TLS one; the plain one is off.
    await startRedis({ service: NAME, port: PORT, args: ['--port', '0', '--requirepass', PASSWORD, ...tls] });
  },
  check: () => expectAnswer(redisCli(PORT, '--tls', '--cacert', CA_FILE, '--no-auth-warning', '-a', PASSWORD, 'PING'), 'PONG'),
};

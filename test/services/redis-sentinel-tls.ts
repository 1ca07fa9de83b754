import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CA_FILE, certificatesFor, installCertificates } from './certificates';
import { serviceDirectory } from './files';
import { startProcess } from './processes';
import { expectAnswer, installRedis, redisCli, startRedis } from './redis-server';
import { HOST, PORTS, SETUP_MS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'redis-sentinel-tls';
const GROUP = 'mymaster';
const MASTER = PORTS + 389;
const SENTINEL = PORTS + 390;
const PASSWORD = 's3cret';

/** A master and one sentinel: TLS only, and the same password for both. */
export const redisSentinelTls: Service = {
  name: NAME,
  variables: {
    TEST_REDIS_SENTINEL_TLS_URL: `redis+sentinel://:${PASSWORD}@${HOST}:${SENTINEL}/${GROUP}?ca=${encodeURIComponent(CA_FILE)}`,
  },
  async install() {
    await Promise.all([installRedis(), installCertificates()]);
  },
  async start() {
    const { ca, certificate, key } = certificatesFor(serviceDirectory(NAME));
    const tls = {
      'tls-cert-file': certificate,
      'tls-key-file': key,
      'tls-ca-cert-file': ca,
      'tls-auth-clients': 'no',
      'tls-replication': 'yes',
    };
    const master = { ...tls, port: '0', 'tls-port': String(MASTER), requirepass: PASSWORD };
    await startRedis({
      service: NAME,
      name: 'master',
      port: MASTER,
      args: Object.entries(master).flatMap(([name, value]) => [`--${name}`, value]),
    });
    const sentinel = { ...tls, port: '0', 'tls-port': String(SENTINEL), requirepass: PASSWORD, bind: HOST, dir: serviceDirectory(NAME) };
    const lines = Object.entries(sentinel).map(([name, value]) => `${name} ${value}`);
    const file = join(serviceDirectory(NAME), 'sentinel.conf');
    writeFileSync(
      file,
      `${[...lines, `sentinel monitor ${GROUP} ${HOST} ${MASTER} 1`, `sentinel auth-pass ${GROUP} ${PASSWORD}`].join('\n')}\n`,
    );
    await startProcess({ service: NAME, name: 'sentinel', command: 'redis-server', args: [file, '--sentinel'], port: SENTINEL });
    await eventually(SETUP_MS, isReady);
  },
  check: isReady,
};

function isReady(): Promise<void> {
  return expectAnswer(
    redisCli(SENTINEL, '--tls', '--cacert', CA_FILE, '--no-auth-warning', '-a', PASSWORD, 'SENTINEL', 'CKQUORUM', GROUP),
    /^OK 1 usable/,
  );
}

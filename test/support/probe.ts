import { connect } from 'node:net';
import { parseServiceUrl, type Host } from '../../src/config/url';
import { BACKENDS, backendUrl, DOWN_VARIABLE, type BackendName } from './backends';

/** A server that is down refuses at once. */
const TIMEOUT_MS = 10_000;

/** Before all tests: which of the backends that are configured answer. Says so in one line for each that does not. */
export default async function probe(): Promise<void> {
  const names = Object.keys(BACKENDS) as BackendName[];
  const answers = await Promise.all(names.map(async (name) => ({ name, up: await takesConnections(backendUrl(name)) })));
  const down = answers.filter(({ up }) => !up).map(({ name }) => name);
  for (const name of down)
    process.stderr.write(`NOT REACHABLE: ${name} (${BACKENDS[name]}); its tests are skipped, or fail with REQUIRE_BACKENDS\n`);
  process.env[DOWN_VARIABLE] = down.join(',');
}

/** Whether the URL's first host takes connections. */
async function takesConnections(url: string | null): Promise<boolean> {
  if (url === null) return false;
  const { host, port } = firstHost(url);
  if (port === null) return false;
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const settle = (up: boolean) => {
      socket.destroy();
      resolve(up);
    };
    socket
      .once('connect', () => settle(true))
      .once('error', () => settle(false))
      .once('timeout', () => settle(false));
  });
}

function firstHost(url: string): Host {
  const [scheme] = url.split(':');
  const { hosts, params } = parseServiceUrl(url, [scheme ?? '']);
  // dynamodb://region?endpoint=http://host:port
  if (params['endpoint'] !== undefined) return firstHost(params['endpoint']);
  return hosts[0] ?? { host: '', port: null };
}

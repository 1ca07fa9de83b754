import { join } from 'node:path';
import { apt } from './debian';
import { serviceDirectory } from './files';
import { expectOk } from './http';
import { startProcess } from './processes';
import { HOST, PORTS, type Service } from './service';

const NAME = 'opentsdb';
const PORT = PORTS + 242;
const QUERY_PORT = PORTS + 428;

/** VictoriaMetrics takes OpenTSDB's /api/put on one port; what it has stored is read from the other, with its own API. */
export const opentsdb: Service = {
  name: NAME,
  variables: { TEST_OPENTSDB_URL: `opentsdb://${HOST}:${PORT}`, TEST_OPENTSDB_QUERY_URL: `http://${HOST}:${QUERY_PORT}` },
  install: () => apt('victoria-metrics'),
  async start() {
    const args = [
      `-opentsdbHTTPListenAddr=${HOST}:${PORT}`,
      `-httpListenAddr=${HOST}:${QUERY_PORT}`,
      `-storageDataPath=${join(serviceDirectory(NAME), 'data')}`,
      '-retentionPeriod=100y',
      '-memory.allowedBytes=256MB',
      '-loggerLevel=WARN',
    ];
    await startProcess({ service: NAME, command: 'victoria-metrics', args, port: PORT });
  },
  check: () => expectOk(`http://${HOST}:${QUERY_PORT}/health`),
};

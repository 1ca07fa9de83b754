import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { apt } from './debian';
import { serviceDirectory } from './files';
import { expectOk } from './http';
import { startProcess } from './processes';
import { HOST, PORTS, SETUP_MS, type Service } from './service';
import { eventually } from './wait';

const NAME = 'influxdb';
const PORT = PORTS + 86;
const BACKUP_PORT = PORTS + 88;
const DATABASE = 'offline';

export const influxdb: Service = {
  name: NAME,
  variables: { TEST_INFLUXDB_URL: `influxdb://${HOST}:${PORT}/${DATABASE}` },
  install: () => apt('influxdb'),
  async start() {
    const directory = serviceDirectory(NAME);
    const file = join(directory, 'influxdb.conf');
    writeFileSync(
      file,
      `reporting-disabled = true
bind-address = "${HOST}:${BACKUP_PORT}"
[meta]
dir = "${directory}/meta"
[data]
dir = "${directory}/data"
wal-dir = "${directory}/wal"
[http]
bind-address = "${HOST}:${PORT}"
log-enabled = false
[monitor]
store-enabled = false
`,
    );
    await startProcess({ service: NAME, command: 'influxd', args: ['-config', file], port: PORT });
    await eventually(SETUP_MS, () => expectOk(`http://${HOST}:${PORT}/query?q=CREATE+DATABASE+${DATABASE}`, { method: 'POST' }));
  },
  check: () => expectOk(`http://${HOST}:${PORT}/ping`),
};

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { apt } from './debian';
import { serviceDirectory } from './files';
import { startProcess } from './processes';
import { HOST, PORTS, type Service } from './service';

const NAME = 'mosquitto';
const PORT = PORTS + 883;

export const mosquitto: Service = {
  name: NAME,
  variables: { TEST_MQTT_URL: `mqtt://${HOST}:${PORT}` },
  install: () => apt('mosquitto'),
  async start() {
    const file = join(serviceDirectory(NAME), 'mosquitto.conf');
    writeFileSync(file, `listener ${PORT} ${HOST}\nallow_anonymous true\npersistence false\nlog_dest stderr\n`);
    await startProcess({ service: NAME, command: 'mosquitto', args: ['-c', file], port: PORT });
  },
  async check() {
    const client = await connectAsync(`mqtt://${HOST}:${PORT}`, { reconnectPeriod: 0 });
    await client.endAsync();
  },
};

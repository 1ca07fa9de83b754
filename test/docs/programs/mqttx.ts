/** Stands in for MQTTX CLI: `pub`, and `sub` until a first message was acknowledged. MQTT_URL is the broker. */
import { parseArgs } from 'node:util';
import { connectAsync } from 'mqtt';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    topic: { type: 'string', short: 't', default: '' },
    qos: { type: 'string', short: 'q', default: '0' },
    message: { type: 'string', short: 'm', default: '' },
    'client-id': { type: 'string', short: 'i', default: 'mqttx_1' },
  },
});

/** A subscriber that nothing is sent to must not wait for ever. */
setTimeout(() => process.exit(1), 20_000).unref();

async function main(): Promise<void> {
  const client = await connectAsync(process.env['MQTT_URL'] ?? '', { clientId: values['client-id'], clean: true });
  const qos = Number(values.qos) as 0 | 1 | 2;
  if (positionals[0] === 'pub') await client.publishAsync(values.topic, values.message, { qos });
  else {
    const received = new Promise<string>((resolve) =>
      client.once('message', (topic, payload) => resolve(`${topic}: ${payload.toString()}`)),
    );
    await client.subscribeAsync(values.topic, { qos });
    process.stdout.write(`${await received}\n`);
  }
  // The DISCONNECT comes after the acknowledgement.
  await client.endAsync();
}

void main();

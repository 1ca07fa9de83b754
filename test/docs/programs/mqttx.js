// Stands in for MQTTX CLI: pub, and sub until a first message was acknowledged. MQTT_URL is the broker.
const { parseArgs } = require('node:util');
const { connectAsync } = require('mqtt');

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    t: { type: 'string', short: 't' },
    q: { type: 'string', short: 'q' },
    m: { type: 'string', short: 'm' },
    i: { type: 'string', short: 'i' },
  },
});

/** A subscriber that nothing is sent to must not wait for ever. */
setTimeout(() => process.exit(1), 20_000).unref();

async function main() {
  const client = await connectAsync(process.env.MQTT_URL, { clientId: values.i ?? 'mqttx_1', clean: true });
  if (positionals[0] === 'pub') await client.publishAsync(values.t, values.m, { qos: Number(values.q) });
  else {
    const received = new Promise((resolve) => client.once('message', (topic, payload) => resolve(`${topic}: ${payload}`)));
    await client.subscribeAsync(values.t, { qos: Number(values.q) });
    process.stdout.write(`${await received}\n`);
  }
  // A DISCONNECT comes after the acknowledgement.
  await client.endAsync();
}

main();

/** `npm run demo`: the way of a message, told step by step, with the server on its embedded default and a stand-in for EMQX. */
import { temporaryDirectory } from '../support/temp';
import { World } from './world';

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<void> {
  const directory = temporaryDirectory();
  const world = await World.start({ env: { DATA_DIR: directory.path } });
  say(`The server listens on ${world.server.url}; a stand-in for EMQX has MQTT on ${world.emqx.mqttUrl}, and the rule is imported.`);

  for (const text of ['hello', 'is anybody there?', 'goodbye']) await world.publish('t/1', text);
  say('A client has published three messages to t/1. Nobody is subscribed.');

  const stored = await world.storedCount(3);
  say(`They are stored: ${stored.map(({ text }) => JSON.stringify(text)).join(', ')}`);

  const subscriber = await world.subscriber('device-1');
  await subscriber.subscribe('t/+');
  say(`device-1 has subscribed to t/+ and received: ${(await subscriber.receives(3)).map((text) => JSON.stringify(text)).join(', ')}`);

  await world.storedCount(0);
  say('It has acknowledged them, and they are gone from the store.');
  await world.stop();
  directory.remove();
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});

/**
 * `npm run services` installs and starts the real servers that the tests use, and prints how the tests find them. With names, only those;
 * `-- --install [names]` only installs, `-- stop [names]` ends them.
 */
import { mkdirSync } from 'node:fs';
import { SERVICES } from './index';
import { locked } from './lock';
import { isRunning, stopService } from './processes';
import { DIRECTORY, SETUP_MS, type Service } from './service';
import { environment, writeEnvironment } from './environment';
import { eventually } from './wait';

const say = (line: string): boolean => process.stderr.write(`${line}\n`);

async function main(words: readonly string[]): Promise<void> {
  const action = words.find((word) => word === 'stop' || word === '--install');
  const chosen = choose(words.filter((word) => word !== action));
  mkdirSync(DIRECTORY, { recursive: true });
  if (action === 'stop') return locked(() => stop(chosen));
  if (action === '--install') return all(chosen, 'installed', (service) => service.install());
  await locked(() => start(chosen));
}

function choose(names: readonly string[]): readonly Service[] {
  const unknown = names.filter((name) => !SERVICES.some((service) => service.name === name));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}; there are ${SERVICES.map(({ name }) => name).join(', ')}`);
  return SERVICES.filter(({ name }) => names.length === 0 || names.includes(name));
}

async function start(chosen: readonly Service[]): Promise<void> {
  try {
    await all(chosen, 'ready', async (service) => {
      await service.install();
      await service.start();
      await eventually(SETUP_MS, () => service.check());
    });
  } finally {
    writeEnvironment();
    for (const [key, value] of Object.entries(environment())) process.stdout.write(`${key}=${value}\n`);
  }
}

async function stop(chosen: readonly Service[]): Promise<void> {
  await all(
    chosen.filter(({ name }) => isRunning(name)),
    'stopped',
    ({ name }) => stopService(name),
  );
  writeEnvironment();
}

/** Does it for all at once; one that fails doesn't hinder the others. */
async function all(services: readonly Service[], done: string, work: (service: Service) => Promise<void>): Promise<void> {
  const failed: string[] = [];
  const one = async (service: Service): Promise<void> => {
    const begin = performance.now();
    try {
      await work(service);
      say(`${service.name}: ${done} after ${((performance.now() - begin) / 1000).toFixed(1)} s`);
    } catch (error) {
      failed.push(service.name);
      say(`${service.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  await Promise.all(services.map(one));
  if (failed.length > 0) throw new Error(`not ${done}: ${failed.join(', ')}`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});

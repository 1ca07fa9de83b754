import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EmqxStandIn } from '../standin';
import { FaultyProxy } from '../support/faulty-proxy';
import { freePort } from '../support/process';
import { temporaryDirectory } from '../support/temp';
import { Balancer } from './balancer';
import type { Configuration } from './configurations';
import { ownPostgres, ownRedis, ownRedisCluster, smallDisk, type OwnDatabase } from './databases';
import type { Targets } from './faults';
import { QUICK_PURGE } from './quick-purge';
import { SupervisedServer } from './servers';
import { sharedStore, type SharedStore } from './stores';

export interface SettingOptions {
  readonly configuration: Configuration;
  readonly appendfsync: 'always' | 'everysec';
  /** Where the server's build or sources are, and the rule that it ships. */
  readonly directory: string;
  /** Node's arguments that run the server. */
  readonly command: readonly string[];
  /** Where the servers' logs go. */
  readonly logs: string;
}

const RULE = 'rules/emqx5/full.json';
/** The stand-in sends one request at a time on each connection; EMQX up to 100 on each of 8. */
const CONNECTIONS = 400;
const DISK_MEGABYTES = { embedded: 300, queue: 200 };

/** Everything that a round needs, started. */
export interface Setting {
  readonly emqx: EmqxStandIn;
  readonly targets: Omit<Targets, 'stills' | 'droppedSilently'>;
  readonly balancer: Balancer;
  /** Each server's own, and the one that EMQX posts to. */
  readonly serverUrls: readonly string[];
  close(): Promise<void>;
}

const opened = new Set<() => Promise<void>>();

/** What is open now: the run is broken off. */
export async function closeAll(): Promise<void> {
  for (const close of opened) await close();
}

export async function open(options: SettingOptions): Promise<Setting> {
  const closers: (() => unknown)[] = [];
  const close = async () => {
    opened.delete(close);
    for (const each of closers.splice(0).reverse()) await each();
  };
  opened.add(close);
  try {
    return await build(options, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function build(
  { configuration, appendfsync, directory: serverDirectory, command: plainCommand, logs }: SettingOptions,
  closers: (() => unknown)[],
  close: () => Promise<void>,
): Promise<Setting> {
  const directory = temporaryDirectory();
  closers.push(directory.remove);
  const disk = configuration.diskOf === undefined ? null : join(directory.path, 'disk');
  if (disk !== null && configuration.diskOf !== undefined) {
    mkdirSync(disk);
    closers.push(smallDisk(disk, DISK_MEGABYTES[configuration.diskOf]).unmount);
  }
  const own = async (database: Promise<OwnDatabase>) => {
    const opened = await database;
    closers.push(() => opened.stop());
    return opened;
  };
  const queue = await openQueue(configuration, own, () => ownRedis('queue', appendfsync, disk));
  const store = await openStore(configuration, queue, { own, redis: () => ownRedis('store', appendfsync), closers });
  const queueLink = await linkTo(queue?.url ?? null);
  const storeLink = await linkTo(store.url);
  for (const link of [queueLink, storeLink]) if (link !== null) closers.push(() => link.proxy.close());

  const emqx = await EmqxStandIn.start();
  closers.push(() => emqx.stop());
  const environment = {
    ...{
      EMQX_URL: emqx.apiUrl,
      EMQX_API_KEY: emqx.apiKey,
      EMQX_API_SECRET: emqx.apiSecret,
      SIGNING_KEY: 'chaos-chaos-chaos-chaos-chaos-chaos',
    },
    DATA_DIR: join(disk !== null && configuration.diskOf === 'embedded' ? disk : directory.path, 'data'),
    ...(configuration.policy !== undefined && { POLICIES: JSON.stringify([{ filter: '#', ...configuration.policy }]) }),
    ...(queue !== null && { QUEUE_URL: queueLink?.url ?? queue.url }),
    ...(store.url !== null && { STORE_URL: storeLink?.url ?? store.url }),
  };
  const command = [...(configuration.isPurgeQuick ? QUICK_PURGE : []), ...plainCommand];
  const servers: SupervisedServer[] = [];
  const ports: number[] = [];
  for (let i = 0; i < configuration.servers; i++) {
    const port = await freePort();
    const name = `${configuration.name}-${i}`;
    const clockFile = configuration.faults.includes('clock') ? join(directory.path, `clock-${i}`) : null;
    const server = new SupervisedServer({
      name,
      port,
      environment,
      directory: serverDirectory,
      command,
      logFile: join(logs, `${name}.log`),
      clockFile,
    });
    server.start();
    closers.push(() => server.stop());
    servers.push(server);
    ports.push(port);
  }
  const balancer = await Balancer.to(ports);
  closers.push(() => balancer.close());
  await importRule(emqx, join(serverDirectory, RULE), balancer.url, configuration.isHostile || configuration.isBusy ? '#' : 't/#');
  const targets = {
    servers,
    rest: emqx.rest,
    queue,
    store: store.server,
    queueLink: queueLink?.proxy ?? null,
    storeLink: storeLink?.proxy ?? null,
    disk,
    broker: emqx.broker,
  };
  return { emqx, targets, balancer, serverUrls: ports.map((port) => `http://127.0.0.1:${port}`), close };
}

type Own = (database: Promise<OwnDatabase>) => Promise<OwnDatabase>;

async function openQueue({ queue }: Configuration, own: Own, redis: () => Promise<OwnDatabase>): Promise<OwnDatabase | null> {
  switch (queue) {
    case 'embedded':
      return null;
    case 'own-redis':
      return own(redis());
    case 'own-redis-cluster':
      return own(ownRedisCluster());
    case 'own-postgres':
      return own(ownPostgres());
  }
}

interface StoreMakers {
  readonly own: Own;
  readonly redis: () => Promise<OwnDatabase>;
  readonly closers: (() => unknown)[];
}

/** `server`: what dies of it; null: it does not, or the queue dies with it. */
async function openStore(
  { store, queue }: Configuration,
  queueServer: OwnDatabase | null,
  { own, redis, closers }: StoreMakers,
): Promise<Pick<SharedStore, 'server'> & { readonly url: string | null }> {
  if (store === 'embedded') return { url: null, server: null };
  if (store === 'own-postgres' && queue === 'own-postgres') return { url: queueServer?.url ?? null, server: null };
  if (store === 'own-postgres' || store === 'redis') {
    const server = await own(store === 'redis' ? redis() : ownPostgres());
    return { url: server.url, server };
  }
  const shared = await sharedStore(store);
  closers.push(shared.drop);
  return shared;
}

/** A proxy before the one address of the URL. Drivers that find further addresses themselves would go around it: null. */
async function linkTo(url: string | null): Promise<{ readonly proxy: FaultyProxy; readonly url: string } | null> {
  // DynamoDB's endpoint is a parameter, and encoded.
  const [, scheme = '', host = '', colon = '', port = ''] =
    /^([\w+]+):\/\/.*?(127\.0\.0\.1|localhost)(:|%3A)(\d+)(?!.*,)/.exec(url ?? '') ?? [];
  if (url === null || host === '' || scheme === 'cassandra' || scheme.startsWith('redis+')) return null;
  const proxy = await FaultyProxy.to(host, Number(port));
  return { proxy, url: url.replace(`${host}${colon}${port}`, `${proxy.address.host}${colon}${proxy.address.port}`) };
}

async function importRule(emqx: EmqxStandIn, rule: string, url: string, topics: string): Promise<void> {
  const shipped = readFileSync(rule, 'utf8')
    .replaceAll('t/#', topics)
    .replace('http://127.0.0.1:8480', url)
    .replace(/"pool_size": \d+/, `"pool_size": ${CONNECTIONS}`);
  const answer = await fetch(`${emqx.apiUrl}/configs?mode=merge`, {
    method: 'PUT',
    headers: { 'content-type': 'text/plain', authorization: `Basic ${Buffer.from(`${emqx.apiKey}:${emqx.apiSecret}`).toString('base64')}` },
    body: shipped,
  });
  if (answer.status !== 200) throw new Error(`the import answered ${answer.status}`);
}

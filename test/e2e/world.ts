import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, connectAsync, type IClientOptions, type IClientPublishOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import type { Backends } from '../../src/server/backends';
import { loadConfig } from '../../src/config/load';
import { GRACE_MS } from '../../src/mailbox/times';
import { createLogger } from '../../src/base/log';
import { Server } from '../../src/server/server';
import { EmqxStandIn } from '../standin';
import type { Action } from '../standin/action';
import { Rule } from '../standin/rule';
import type { Limits } from '../standin/types';
import { freePort } from '../support/process';
import { waitFor } from '../support/wait';
import { Later } from './later';
import { Subscriber } from './subscriber';

export type { Subscriber };

/** Files of rules/emqx5 to import. null: the published recipe, SELECT * without any filter. */
export type Rules = readonly string[] | null;

export interface WorldOptions {
  /** Settings of the server beside those that connect it. */
  readonly env?: Readonly<Record<string, string>>;
  readonly limits?: Partial<Limits>;
  /** Default: offline-messages. */
  readonly rules?: Rules;
  /**
   * The imported rules post over so many connections, whatever the order: the stand-in sends one request at a time on
   * each, EMQX up to 100.
   */
  readonly connections?: number;
  /** The version of EMQX that the stand-in plays; default 5. */
  readonly version?: 4 | 5;
}

export interface Stored {
  readonly id: string;
  readonly topic: string;
  readonly text: string | null;
  readonly payload: string;
  readonly qos: number;
  readonly properties: Record<string, unknown>;
}

/** The number of jobs of a lane that wait, and that are being processed. */
interface Lane {
  readonly name: string;
  readonly waiting: number;
  readonly active: number;
}

/** EMQX's stand-in, our server with the rule imported, and MQTT clients. */
export class World {
  private readonly clients: MqttClient[] = [];
  private readonly later = new Later(() => this.backends.queue);

  private constructor(
    readonly emqx: EmqxStandIn,
    private env: Record<string, string>,
    public server: Server,
    private readonly clock: Clock,
  ) {}

  static async start({ env = {}, limits = {}, rules = ['offline-messages'], connections, version }: WorldOptions): Promise<World> {
    const emqx = await EmqxStandIn.start(limits, version);
    const settings = {
      EMQX_URL: emqx.apiUrl,
      EMQX_API_KEY: emqx.apiKey,
      EMQX_API_SECRET: emqx.apiSecret,
      PORT: String(await freePort()),
      ...env,
    };
    const clock = new Clock();
    const server = await startServer(settings, clock.now);
    const world = new World(emqx, settings, server, clock);
    await world.useRules(rules, connections);
    return world;
  }

  /** In place of those that are there. */
  async useRules(rules: Rules, connections?: number): Promise<void> {
    this.emqx.removeRules();
    if (rules === null) {
      const sources = ['#', ...['session_subscribed', 'message_acked', 'message_delivered'].map((name) => `$events/${name}`)];
      this.emqx.addRule(new Rule(null, sources), { url: this.server.url, poolType: 'random' });
    }
    for (const rule of rules ?? []) await this.importRule(rule, connections);
  }

  /**
   * Prepares the server for the next test: no clients, no stored messages, no delayed jobs, a new EMQX, the real time.
   * Positions and mailboxes stay.
   */
  async renew(rules: Rules): Promise<void> {
    await Promise.all(this.clients.splice(0).map((client) => client.endAsync(true)));
    this.emqx.renew();
    await this.quiet();
    await this.request('DELETE', '/v1/messages?filter=%23');
    await this.timePasses();
    this.clock.aheadMs = 0;
    await this.useRules(rules);
  }

  /** The server's store and queue. */
  get backends(): Backends {
    return this.server['backends'];
  }

  /** A store that is slow: the next write waits until it is told to go on. @returns what tells it. */
  holdWrites(): () => void {
    const { store } = this.backends;
    const save = store.saveMessages.bind(store);
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    jest.spyOn(store, 'saveMessages').mockImplementationOnce((batch) => gate.then(() => save(batch)));
    return open;
  }

  /**
   * On our server's clock; what is to be done later (the look after the grace, ...) is due now. EMQX and the databases
   * have another clock.
   */
  async timePasses(ms = GRACE_MS + 1_000): Promise<void> {
    this.clock.aheadMs += ms;
    await this.nothingWaits();
  }

  /** Runs all delayed jobs now. A mailbox whose time has not come does nothing. */
  async nothingWaits(): Promise<void> {
    await this.later.isNow();
    await this.quiet();
  }

  /**
   * Whether something is put off for a moment: a delivery behind the writes that were accepted before it, or until
   * acknowledgements have arrived.
   */
  isSoon(): Promise<boolean> {
    return this.later.isSoon();
  }

  isRestoring(): Promise<boolean> {
    return this.later.isRestoring();
  }

  /** To our server; its answer must be a good one. */
  async request(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<Response> {
    const init = body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const answer = await fetch(`${this.server.url}${path}`, { method, ...init });
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}`);
    return answer;
  }

  /** Posts events as EMQX does: one, or several in one request. */
  async post(events: unknown): Promise<void> {
    await this.request('POST', '/v1/events', events);
  }

  /** The sum of a metric's values, whatever their labels. */
  async metric(name: string): Promise<number> {
    const lines = (await (await this.request('GET', '/metrics')).text())
      .split('\n')
      .filter((line) => line.startsWith(`emqx_offline_${name}`));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  /** The payloads that we had EMQX publish. */
  get delivered(): string[] {
    return this.emqx.rest.publishes.map((entry) => Buffer.from(String(entry['payload']), 'base64').toString());
  }

  /** Imports the rule as the README says, with the URL of the test's server in the file. */
  async importRule(name: string, connections?: number): Promise<Action> {
    if (this.emqx.version === 4) return this.importRuleV4(name);
    const shipped = readFileSync(join(__dirname, `../../rules/emqx5/${name}.json`), 'utf8').replace(
      'http://127.0.0.1:8480',
      this.server.url,
    );
    const pool = `"pool_type": "random", "pool_size": ${connections ?? 0}`;
    const file = connections === undefined ? shipped : shipped.replace(/"pool_type": "hash",\s*"pool_size": 8/, pool);
    const answer = await fetch(`${this.emqx.apiUrl}/configs?mode=merge`, {
      method: 'PUT',
      headers: {
        'content-type': 'text/plain',
        authorization: `Basic ${Buffer.from(`${this.emqx.apiKey}:${this.emqx.apiSecret}`).toString('base64')}`,
      },
      body: file,
    });
    if (answer.status !== 200) throw new Error(`the import answered ${answer.status}`);
    return this.emqx.actions.at(-1) as Action;
  }

  /** Imports the rule as docs/emqx4.md says, with the URL of the test's server in the file. */
  private async importRuleV4(name: string): Promise<Action> {
    const file = readFileSync(join(__dirname, `../../rules/emqx4/${name}.json`), 'utf8').replace('http://127.0.0.1:8480', this.server.url);
    const { resources, rules } = JSON.parse(file) as { resources: object[]; rules: object[] };
    for (const [path, entries] of [
      ['resources', resources],
      ['rules', rules],
    ] as const) {
      for (const entry of entries) {
        const answer = await fetch(`${this.emqx.apiUrl}/${path}`, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            authorization: `Basic ${Buffer.from(`${this.emqx.apiKey}:${this.emqx.apiSecret}`).toString('base64')}`,
          },
          body: JSON.stringify(entry),
        });
        if (((await answer.json()) as { code: number }).code !== 0) throw new Error(`POST /${path} failed`);
      }
    }
    return this.emqx.actions.at(-1) as Action;
  }

  /** The shipped rule without the condition that keeps our own deliveries out: the server must not rely on it (promise 8). */
  async importUnfiltered(name: string): Promise<void> {
    await this.importChanged(name, (sql) =>
      sql.replace(" and (is_null(pub_props.'User-Property'.'offline-msgid') or clientid <> 'http_api')", ''),
    );
  }

  /** The shipped rule as an operator has changed it, or as it was. */
  async importChanged(name: string, change: (sql: string) => string): Promise<void> {
    const file = JSON.parse(readFileSync(join(__dirname, `../../rules/emqx5/${name}.json`), 'utf8')) as {
      rule_engine: { rules: Record<string, { sql: string }> };
    };
    for (const { sql } of Object.values(file.rule_engine.rules)) {
      this.emqx.addRule(new Rule(change(sql)), { url: this.server.url, poolType: 'hash' });
    }
  }

  async restartServer(): Promise<void> {
    await this.server.stop();
    this.server = await startServer(this.env, this.clock.now);
  }

  /** One more server process' worth on the same queue and store; the caller stops it. */
  startAnother(): Promise<Server> {
    return startServer({ ...this.env, PORT: '0' }, this.clock.now);
  }

  async connect(clientId: string, options: IClientOptions = {}): Promise<MqttClient> {
    const client = await connectAsync(this.emqx.mqttUrl, { clientId, reconnectPeriod: 0, ...options });
    this.clients.push(client);
    return client;
  }

  /** Connects, with a list of what it receives. */
  async subscriber(clientId: string, options: IClientOptions = {}): Promise<Subscriber> {
    const received: IPublishPacket[] = [];
    // The list is there before the connection: EMQX may send at once.
    const client = connect(this.emqx.mqttUrl, { clientId, reconnectPeriod: 0, ...options });
    client.on('message', (_topic, _payload, packet) => received.push(packet));
    this.clients.push(client);
    await new Promise<void>((resolve, reject) => client.once('connect', () => resolve()).once('error', reject));
    return new Subscriber(client, received);
  }

  /** Its connection breaks; its session ends. */
  async breakOff(subscriber: Subscriber): Promise<void> {
    subscriber.client.end(true);
    await this.sessionEnds(subscriber);
  }

  /** Disconnects the client and waits until the server has processed the disconnect. */
  async leave(subscriber: Subscriber): Promise<void> {
    await subscriber.disconnect();
    await this.sessionEnds(subscriber);
    await this.quiet();
  }

  private async sessionEnds({ client }: Subscriber): Promise<void> {
    await waitFor('the end of its session', () => !this.emqx.broker.sessions.has(String(client.options.clientId)));
  }

  async publish(topic: string, payload: string | Buffer, options: IClientPublishOptions = {}, clientId = 'publisher'): Promise<void> {
    const known = this.clients.find((client) => client.options.clientId === clientId && client.connected);
    const client = known ?? (await this.connect(clientId, { protocolVersion: 5 }));
    await client.publishAsync(topic, payload, { qos: 1, ...options });
  }

  async stored(topicFilter = '#'): Promise<Stored[]> {
    return waitFor('the store to answer', async () => {
      const answer = await fetch(`${this.server.url}/v1/messages?limit=1000&filter=${encodeURIComponent(topicFilter)}`);
      // A store that has just come back, or that is slow, is reported as 503.
      if (answer.status === 503) return null;
      if (!answer.ok) throw new Error(`GET /v1/messages answered ${answer.status}`);
      return ((await answer.json()) as { messages: Stored[] }).messages;
    });
  }

  /** Waits until exactly so many messages are stored. */
  async storedCount(count: number, topicFilter = '#'): Promise<Stored[]> {
    return waitFor(`${count} stored messages`, async () => {
      const messages = await this.stored(topicFilter);
      return messages.length === count ? messages : null;
    });
  }

  /** Waits until every event is answered, every lane is empty, and nothing is put off for a moment only. */
  async quiet(): Promise<void> {
    // A delivery that waits for the writes is in its lane at one moment and put off at the next: two looks in a row must find neither.
    let looks = 0;
    await waitFor('the lanes to be empty', async () => {
      looks = (await this.isQuiet()) ? looks + 1 : 0;
      return looks === 2;
    });
  }

  private async isQuiet(): Promise<boolean> {
    if (this.emqx.pending > 0 || (await this.isSoon())) return false;
    const lanes = await this.lanes();
    return lanes !== null && lanes.every(({ waiting, active }) => waiting === 0 && active === 0) && !(await this.isSoon());
  }

  /** null: the queue did not answer within 3 s, as on a busy machine. */
  async lanes(): Promise<readonly Lane[] | null> {
    return ((await (await fetch(`${this.server.url}/v1/stats`)).json()) as { lanes: Lane[] | null }).lanes;
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.endAsync(true)));
    await this.server.stop();
    await this.emqx.stop();
  }
}

/** Our servers' clock, which may run ahead of the time of day. */
class Clock {
  aheadMs = 0;
  readonly now = (): number => Date.now() + this.aheadMs;
}

async function startServer(env: Record<string, string>, now: () => number): Promise<Server> {
  const log = createLogger({ level: (process.env['TEST_LOG_LEVEL'] ?? 'silent') as 'silent' });
  const onFailure = (error: unknown) => {
    throw error;
  };
  const server = await Server.start(loadConfig(env), log, onFailure, now);
  await server.ready();
  return server;
}

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Action, type ActionOptions } from './action';
import { Broker, type BrokerEvent } from './broker';
import { Connection } from './connection';
import { Rest } from './rest';
import { Rule } from './rule';
import { RulesV4 } from './rules-v4';
import { NOTHING_INSTALLED, type Counts, type Installed } from './rules-api';
import type { Limits } from './types';

/** EMQX's own. */
const LIMITS: Limits = { inflight: 32, queue: 1_000 };

/** The shape of what PUT /configs takes, as far as we ship it. */
interface Config {
  readonly connectors: {
    readonly http: Record<string, { url: string; pool_type: 'random' | 'hash'; pool_size: number; headers?: Record<string, string> }>;
  };
  readonly actions: { readonly http: Record<string, { connector: string }> };
  readonly rule_engine: { readonly rules: Record<string, { sql: string; actions: string[]; enable?: boolean }> };
}

/**
 * Stands in for EMQX 5.8.9 (or 4.4.19, with the differences that were measured), which can't be had where these tests
 * run: a broker for real MQTT clients (3.1.1 and 5), its REST API, and rules that post to an HTTP action, as EMQX does.
 * aedes was no basis: it has no MQTT 5 and neither EMQX's queue nor its events.
 */
export class EmqxStandIn {
  readonly apiKey = 'key';
  readonly apiSecret = 'secret';
  readonly events: BrokerEvent[] = [];
  readonly broker: Broker;
  readonly rest: Rest;
  private readonly mqtt: Server;
  private readonly sockets = new Set<Socket>();
  /** `id` and `name` of those that are configured: of the rule, of the action. */
  private routes: { rule: Rule; action: Action; id?: string; name?: string }[] = [];

  readonly rulesV4 = new RulesV4(
    (rule, options) => this.addRule(rule, options),
    (actions) => this.removeActions(actions),
  );

  private constructor(
    limits: Limits,
    readonly version: 4 | 5,
  ) {
    this.broker = new Broker(limits);
    this.broker.on('event', (event) => this.fire(event));
    this.rest = new Rest(this.broker, {
      ...{ key: this.apiKey, secret: this.apiSecret, version },
      configure: (config) => this.configure(config as unknown as Config),
      reinstall: (before, after) => this.reinstall(before, after),
      counts: (name) => this.countsOf(name),
      testRule: (id, context) => this.testRule(id, context),
      rulesV4: {
        install: (kind, body) => this.rulesV4.install(kind, body),
        uninstall: (kind, id) => this.rulesV4.uninstall(kind, id),
        installed: (kind) => this.rulesV4.installed(kind),
      },
    });
    this.mqtt = createServer((socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      new Connection(this.broker, socket);
    });
  }

  static async start(limits: Partial<Limits> = {}, version: 4 | 5 = 5): Promise<EmqxStandIn> {
    const standIn = new EmqxStandIn({ ...LIMITS, ...limits }, version);
    await Promise.all([standIn.mqtt, standIn.rest.server].map((server) => once(server.listen(0, '127.0.0.1'), 'listening')));
    return standIn;
  }

  get mqttUrl(): string {
    return `mqtt://127.0.0.1:${portOf(this.mqtt)}`;
  }

  /** EMQX_URL. */
  get apiUrl(): string {
    return `http://127.0.0.1:${portOf(this.rest.server)}/api/v${this.version}`;
  }

  get actions(): readonly Action[] {
    return this.routes.map(({ action }) => action);
  }

  /** The first action's; most tests have one. */
  get action(): Action {
    const [action] = this.actions;
    if (action === undefined) throw new Error('no rule yet');
    return action;
  }

  /** Events that are not answered yet, or not fired. */
  get pending(): number {
    return this.broker.lateEvents + this.actions.reduce((sum, { pending }) => sum + pending, 0);
  }

  /** A rule and its action by hand; PUT /configs makes them from a shipped file. */
  addRule(rule: Rule, options: ActionOptions): Action {
    const action = new Action(options);
    this.routes.push({ rule, action });
    return action;
  }

  removeRules(): void {
    for (const { action } of this.routes.splice(0)) action.stop();
    this.rest.installed = NOTHING_INSTALLED;
    this.rulesV4.clear();
  }

  /** As if it were started for the first time, but that connections, addresses and rules stay. */
  renew(limits: Partial<Limits> = {}): void {
    this.events.length = 0;
    this.broker.renew({ ...LIMITS, ...limits });
    this.rest.renew();
  }

  dropped(): BrokerEvent[] {
    return this.events.filter(({ event }) => event === 'delivery.dropped');
  }

  /** All connections break, as when the node dies. */
  disconnectAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** The node dies and is back after a moment. */
  async restart({ keepsRetained = false, downMs = 1_100 } = {}): Promise<void> {
    this.rest.outage = 503;
    this.disconnectAll();
    await sleep(downMs);
    this.broker.restart(keepsRetained);
    this.rest.outage = null;
  }

  private configure({ connectors, actions, rule_engine }: Config): void {
    for (const [id, { sql, actions: names, enable = true }] of Object.entries(rule_engine.rules)) {
      for (const name of enable ? names.map((each) => each.replace(/^http:/, '')) : []) {
        const connector = connectors.http[actions.http[name]?.connector ?? ''];
        if (connector === undefined) throw new Error(`no connector for ${name}`);
        const { url, pool_type: poolType, pool_size: poolSize, headers } = connector;
        const action = new Action({ url, poolType, poolSize, ...(headers !== undefined && { headers }) });
        this.routes.push({ rule: new Rule(sql), action, id, name });
      }
    }
  }

  /** Rules whose own settings, or those of their action or connector, have changed are set up again; the others go on as they are. */
  private reinstall(before: Installed, after: Installed): void {
    for (const id of new Set([...Object.keys(before.rules), ...Object.keys(after.rules)])) {
      const part = partOf(after, id);
      if (JSON.stringify(part) === JSON.stringify(partOf(before, id))) continue;
      for (const { action } of this.routes.filter((route) => route.id === id)) action.stop();
      this.routes = this.routes.filter((route) => route.id !== id);
      if (part !== null) this.configure(part);
    }
  }

  private countsOf(name: string): Counts {
    const actions = this.routes.filter((route) => route.name === name).map(({ action }) => action);
    const failed = actions.reduce((sum, { lost }) => sum + lost.length, 0);
    return { failed, success: actions.reduce((sum, { statuses }) => sum + statuses.filter((status) => status < 300).length, 0) };
  }

  /** With this rule's actions only. */
  private testRule(id: string, { event_type: type, ...context }: Record<string, unknown>): boolean {
    const event = { event: String(type).replace('_', '.'), timestamp: Date.now(), node: 'emqx@127.0.0.1', ...context };
    const sent = this.routes.flatMap(({ rule, action, id: each }) => (each === id ? { action, body: rule.apply(event) } : []));
    for (const { action, body } of sent) if (body !== null) action.send(body);
    return sent.some(({ body }) => body !== null);
  }

  private removeActions(actions: readonly Action[]): void {
    for (const action of actions) action.stop();
    this.routes = this.routes.filter(({ action }) => !actions.includes(action));
  }

  private fire(fired: BrokerEvent): void {
    const event = this.version === 4 ? asV4(fired) : fired;
    this.events.push(event);
    for (const { rule, action } of this.routes) {
      const body = rule.apply(event);
      if (body !== null) action.send(body);
    }
  }

  async stop(): Promise<void> {
    for (const action of this.actions) action.stop();
    this.disconnectAll();
    this.rest.server.closeAllConnections();
    await Promise.all([this.mqtt, this.rest.server].map((server: Server | HttpServer) => new Promise((resolve) => server.close(resolve))));
  }
}

/** What PUT /configs would have of one rule; null: there is no such rule, or something that it needs is missing. */
function partOf({ connectors, actions, rules }: Installed, id: string): Config | null {
  const rule = rules[id];
  const names = ((rule?.['actions'] ?? []) as string[]).map((name) => name.replace(/^http:/, ''));
  const used = names.map((name) => String(actions[name]?.['connector']));
  if (rule === undefined || used.some((name) => connectors[name] === undefined)) return null;
  const only = (all: Record<string, unknown>, wanted: string[]) => Object.fromEntries(wanted.map((name) => [name, all[name]]));
  return {
    connectors: { http: only(connectors, used) },
    actions: { http: only(actions, names) },
    rule_engine: { rules: { [id]: rule } },
  } as unknown as Config;
}

/** EMQX 4 has no client_attrs, and pub_props has only what there is. */
function asV4({ client_attrs: _none, ...event }: BrokerEvent): BrokerEvent {
  const properties = event['pub_props'] as { 'User-Property'?: object } | undefined;
  if (properties === undefined || Object.keys(properties['User-Property'] ?? {}).length > 0) return event as BrokerEvent;
  const { 'User-Property': _empty, ...rest } = properties;
  return { ...event, pub_props: rest } as BrokerEvent;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

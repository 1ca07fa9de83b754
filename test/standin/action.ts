import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'node:http';
import type { BrokerEvent } from './broker';

export interface ActionOptions {
  /** The server's base URL. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly poolType: 'random' | 'hash';
  readonly poolSize?: number;
  /** false: as EMQX 4, which tries each event once. */
  readonly retries?: boolean;
  /** EMQX 4: where an event goes that has failed. */
  readonly fallback?: Pick<ActionOptions, 'url' | 'headers'>;
}

interface Entry {
  readonly event: BrokerEvent;
  readonly body: string;
}

const RETRY_MS = 50;

/**
 * EMQX's HTTP action as measured: several connections, each in its own order, none between them; 2xx is success, 429, 503 and trouble with
 * the connection are tried again from the buffer, EVERY other status loses the event.
 */
export class Action {
  readonly lost: { event: BrokerEvent; status: number }[] = [];
  /** Every answer, retried ones too. */
  readonly statuses: number[] = [];
  /** Hears of each answer. */
  answered: (event: BrokerEvent, status: number) => void = () => undefined;
  private readonly workers: Entry[][];
  private readonly idle: boolean[];
  private readonly agent: Agent;
  private readonly stopping = new AbortController();
  private turn = 0;
  private held: { matches: (event: BrokerEvent) => boolean; entries: Entry[] }[] = [];

  constructor(private readonly options: ActionOptions) {
    const size = options.poolSize ?? 8;
    this.workers = Array.from({ length: size }, () => []);
    this.idle = this.workers.map(() => true);
    // One for each request under way.
    setMaxListeners(0, this.stopping.signal);
    this.agent = new Agent({ keepAlive: true, maxSockets: size });
  }

  /** Events that are not answered yet. */
  get pending(): number {
    return this.workers.reduce((sum, { length }) => sum + length, 0);
  }

  send(event: BrokerEvent): void {
    const entry = { event, body: JSON.stringify(event) };
    const hold = this.held.find(({ matches }) => matches(event));
    if (hold !== undefined) hold.entries.push(entry);
    else this.enqueue(entry);
  }

  /** Keeps events back until released: a connection that is slower than the others. */
  hold(matches: (event: BrokerEvent) => boolean): { count: () => number; release: () => void } {
    const hold = { matches, entries: [] as Entry[] };
    this.held.push(hold);
    return {
      count: () => hold.entries.length,
      release: () => {
        this.held = this.held.filter((each) => each !== hold);
        for (const entry of hold.entries.splice(0)) this.enqueue(entry);
      },
    };
  }

  private enqueue(entry: Entry): void {
    const key = String(entry.event['clientid'] ?? '');
    const index = this.options.poolType === 'hash' ? hash(key) % this.workers.length : this.turn++ % this.workers.length;
    this.workers[index]?.push(entry);
    if (this.idle[index]) void this.run(index);
  }

  private async run(index: number): Promise<void> {
    const entries = this.workers[index] ?? [];
    this.idle[index] = false;
    while (entries[0] !== undefined && !this.stopping.signal.aborted) {
      const { event, body } = entries[0];
      const status = await this.tried(event.event, body);
      if (status !== 0) this.statuses.push(status);
      this.answered(event, status);
      if (this.options.retries !== false && (status === 0 || status === 429 || status === 503)) {
        await sleep(RETRY_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
        continue;
      }
      if (status < 200 || status > 299) this.lost.push({ event, status });
      entries.shift();
    }
    this.idle[index] = true;
  }

  /** 0: no answer. */
  private async tried(name: string, body: string): Promise<number> {
    const { fallback, ...own } = this.options;
    const status = await this.post(own, name, body).catch(() => 0);
    if (fallback === undefined || (status >= 200 && status < 300) || this.stopping.signal.aborted) return status;
    return this.post(fallback, name, body).catch(() => 0);
  }

  private post(to: Pick<ActionOptions, 'url' | 'headers'>, name: string, body: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...to.headers };
      const options = { agent: this.agent, method: 'POST', headers, signal: this.stopping.signal };
      const sent = request(new URL(`/v1/events/${name}`, to.url), options, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  stop(): void {
    this.stopping.abort();
    this.agent.destroy();
  }
}

function hash(text: string): number {
  return [...text].reduce((sum, character) => (sum * 31 + (character.codePointAt(0) ?? 0)) >>> 0, 7);
}

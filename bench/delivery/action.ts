import { Pipeline } from '../pipeline';
import type { BrokerEvent } from './events';

/** EMQX's defaults: pool_size, and enable_pipelining of each connection. */
const CONNECTIONS = 8;
const PIPELINING = 100;
const RETRY_MS = 50;

interface Item {
  readonly event: BrokerEvent;
  readonly done: () => void;
}

/** EMQX's HTTP action: each client's events over one of 8 pipelined connections; what is answered 429 or 503 is sent again. */
export class Action {
  private readonly workers: readonly Worker[];

  private constructor(pipelines: readonly Pipeline[]) {
    this.workers = pipelines.map((pipeline) => new Worker(pipeline));
  }

  static async open(port: number): Promise<Action> {
    return new Action(await Promise.all(Array.from({ length: CONNECTIONS }, () => Pipeline.open(port))));
  }

  /** Resolves when the event was answered 202. A broken connection or another status ends the process: the figures would mean nothing. */
  send(event: BrokerEvent): Promise<void> {
    return new Promise((done) => this.workers[hash(event.clientid) % CONNECTIONS]?.add({ event, done }));
  }

  /** What was not sent is given up. */
  close(): void {
    for (const worker of this.workers) worker.close();
  }
}

class Worker {
  private queue: Item[] = [];
  private next = 0;
  private closed = false;

  constructor(private readonly pipeline: Pipeline) {}

  add(item: Item): void {
    this.queue.push(item);
    this.pump();
  }

  close(): void {
    this.closed = true;
    this.pipeline.close();
  }

  private pump(): void {
    while (!this.closed && this.pipeline.underWay < PIPELINING) {
      const item = this.queue[this.next++];
      if (item === undefined) {
        [this.queue, this.next] = [[], 0];
        return;
      }
      void this.post(item);
    }
  }

  private async post(item: Item): Promise<void> {
    const status = await this.pipeline.post(`/v1/events/${item.event.name}`, item.event.body).then(
      (answer) => answer.status,
      (error: unknown) => {
        if (this.closed) return null;
        throw error;
      },
    );
    if (status === null) return;
    if (status === 202) item.done();
    else if (status === 429 || status === 503) setTimeout(() => this.add(item), RETRY_MS);
    else throw new Error(`${item.event.name} was answered ${status}`);
    this.pump();
  }
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}

import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/**
 * `stalled`: data are held back and sent later. `half-open`: open connections are dead for ever and neither end is
 * told, while new connections work.
 */
export type LinkFault = 'cut' | 'stalled' | 'half-open' | { readonly delayMs: number };

/** The server's end of a half-open connection finds out by itself: keep-alive, as an operator would set it. */
const KEEP_ALIVE_MS = 15_000;

/** A TCP proxy that imitates the faults of networks. */
export class FaultyProxy {
  private readonly links = new Set<Link>();
  private fault: LinkFault | null = null;

  private constructor(
    private readonly server: Server,
    private readonly host: string,
    private readonly port: number,
  ) {
    server.on('connection', (socket) => this.accept(socket));
  }

  static async to(host: string, port: number): Promise<FaultyProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultyProxy(server, host, port);
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: '127.0.0.1', port: (this.server.address() as AddressInfo).port };
  }

  begin(fault: LinkFault): void {
    this.fault = fault;
    if (fault === 'half-open') for (const link of this.links) link.die();
    if (fault === 'cut') for (const link of this.links) link.destroy();
  }

  /** Ends the fault. New connections work, stalled ones go on, and half-open ones stay dead. */
  end(): void {
    this.fault = null;
    for (const link of this.links) link.flush();
  }

  private accept(client: Socket): void {
    if (this.fault === 'cut') return void client.resetAndDestroy();
    const link = new Link(client, connect(this.port, this.host), () =>
      this.fault === 'stalled' ? Infinity : typeof this.fault === 'object' ? (this.fault?.delayMs ?? 0) : 0,
    );
    this.links.add(link);
    // The server's end of a dead connection stays open longer than the client's end.
    for (const socket of link.sockets)
      socket.once('close', () => void (link.sockets.every(({ closed }) => closed) && this.links.delete(link)));
  }

  async close(): Promise<void> {
    for (const link of this.links) link.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

class Link {
  dead = false;
  /** In order, with the time from which each may go on; a fault that begins later holds back what comes later, too. */
  private readonly waiting: { readonly to: Socket; readonly data: Buffer | null; readonly due: number }[] = [];
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly client: Socket,
    private readonly upstream: Socket,
    private readonly delay: () => number,
  ) {
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.setNoDelay(true);
      from.on('data', (data) => this.pass(to, data));
      from.on('end', () => this.pass(to, null));
      from.on('error', () => undefined);
      // A dead link tells nobody of anything.
      from.on('close', () => void (this.dead || this.delay() === Infinity || to.destroy()));
    }
  }

  get sockets(): readonly Socket[] {
    return [this.client, this.upstream];
  }

  private pass(to: Socket, data: Buffer | null): void {
    if (this.dead) return;
    const delay = this.delay();
    if (delay === 0 && this.waiting.length === 0) return this.write(to, data);
    this.waiting.push({ to, data, due: Date.now() + delay });
    this.schedule();
  }

  private schedule(): void {
    if (this.timer !== null || this.waiting[0] === undefined || this.waiting[0].due === Infinity) return;
    this.timer = setTimeout(
      () => {
        this.timer = null;
        while (this.waiting[0] !== undefined && this.waiting[0].due <= Date.now()) this.shift();
        this.schedule();
      },
      Math.max(0, this.waiting[0].due - Date.now()),
    );
  }

  flush(): void {
    while (this.waiting.length > 0 && !this.dead) this.shift();
    // Whoever left while it was stalled.
    if (!this.dead && (this.client.destroyed || this.upstream.destroyed)) this.destroy();
  }

  private shift(): void {
    const next = this.waiting.shift();
    if (next !== undefined) this.write(next.to, next.data);
  }

  private write(to: Socket, data: Buffer | null): void {
    if (to.destroyed) return;
    if (data === null) to.end();
    else to.write(data);
  }

  die(): void {
    this.dead = true;
    setTimeout(() => this.upstream.destroy(), KEEP_ALIVE_MS).unref();
  }

  destroy(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.client.destroy();
    this.upstream.destroy();
  }
}

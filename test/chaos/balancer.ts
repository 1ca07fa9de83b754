import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from '../support/join';

/** One URL for several servers: each connection goes to the next one that takes it. */
export class Balancer {
  private readonly sockets = new Set<Socket>();
  /** By port. */
  private readonly upstreams = new Map<number, Set<Socket>>();
  private readonly avoided = new Set<number>();
  private turn = 0;

  private constructor(
    private readonly server: Server,
    private readonly ports: readonly number[],
  ) {
    server.on('connection', (socket) => this.connect(socket, 0));
  }

  static async to(ports: readonly number[]): Promise<Balancer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Balancer(server, ports);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Its health check has failed: connections to it break, and new ones go to others. */
  avoid(port: number): void {
    this.avoided.add(port);
    for (const socket of this.upstreams.get(port) ?? []) socket.destroy();
  }

  readmit(port: number): void {
    this.avoided.delete(port);
  }

  private connect(client: Socket, failures: number): void {
    const ports = this.ports.filter((port) => !this.avoided.has(port));
    const port = ports[this.turn++ % ports.length] ?? 0;
    const upstream = connect(port, '127.0.0.1');
    const known = this.upstreams.get(port) ?? new Set();
    this.upstreams.set(port, known.add(upstream));
    upstream.once('close', () => known.delete(upstream));
    const retry = () => (failures + 1 < this.ports.length ? this.connect(client, failures + 1) : client.destroy());
    upstream.once('error', retry);
    upstream.once('connect', () => {
      upstream.off('error', retry);
      join(client, upstream, this.sockets);
    });
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

/** @returns the answer as it goes over the wire. */
export type Answers = (command: readonly string[], socket: Socket) => string;

export const OK = '+OK\r\n';
export const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
export const list = (...items: readonly string[]): string => `*${items.length}\r\n${items.join('')}`;
const HELLO = `%1\r\n${bulk('proto')}:3\r\n`;

/** A server that speaks Redis' protocol and knows no data. */
export class FakeRedis {
  /** The first bytes of each connection: 0x16 begins a TLS handshake. */
  readonly firstBytes: number[] = [];
  private readonly sockets = new Set<Socket>();

  /** Set once it listens. */
  port = 0;

  private constructor(private readonly server: Server) {}

  static async start(answers: Answers, tls: TlsOptions | null = null): Promise<FakeRedis> {
    const server = tls === null ? createServer() : createTlsServer(tls);
    const fake = new FakeRedis(server);
    server.on('tlsClientError', () => undefined);
    server.on(tls === null ? 'connection' : 'secureConnection', (socket: Socket) => {
      fake.sockets.add(socket);
      socket.once('data', (data: Buffer) => fake.firstBytes.push(data[0] ?? 0));
      socket.on('data', (data: Buffer) => commandsOf(data).forEach((command) => socket.write(answer(command, socket, answers))));
      socket.on('error', () => undefined);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    fake.port = (server.address() as AddressInfo).port;
    return fake;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

function answer(command: readonly string[], socket: Socket, answers: Answers): string {
  const own = answers(command, socket);
  if (own !== '') return own;
  return command[0]?.toLowerCase() === 'hello' ? HELLO : OK;
}

/** Small commands only: each arrives whole. What is not a command, as the start of a TLS handshake, is none. */
function commandsOf(data: Buffer): string[][] {
  const lines = data.toString('latin1').split('\r\n');
  const commands: string[][] = [];
  for (let i = 0; i < lines.length;) {
    const count = /^\*(\d+)$/.exec(lines[i] ?? '')?.[1];
    if (count === undefined) break;
    commands.push(Array.from({ length: Number(count) }, (_, n) => lines[i + 2 + 2 * n] ?? ''));
    i += 1 + 2 * Number(count);
  }
  return commands;
}

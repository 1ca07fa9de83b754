import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
}

/** One connection as EMQX has it: the next requests go out before the first is answered, up to 100; the answers come in their order. */
export class Pipeline {
  private readonly waiting: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void }[] = [];
  private rest = '';

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('latin1').setNoDelay(true);
    socket.on('data', (text: string) => this.read(text));
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('closed')));
  }

  static async open(port: number): Promise<Pipeline> {
    const socket = connect(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new Pipeline(socket);
  }

  get underWay(): number {
    return this.waiting.length;
  }

  post(path: string, body: string): Promise<Answer> {
    const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.socket.write(head + body);
    });
  }

  private read(text: string): void {
    this.rest += text;
    for (;;) {
      const end = this.rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = this.rest.slice(0, end);
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (this.rest.length < end + 4 + length) return;
      this.rest = this.rest.slice(end + 4 + length);
      this.waiting.shift()?.resolve({ status: Number(head.slice(9, 12)), retryAfter: /\r\nretry-after: (\S+)/i.exec(head)?.[1] });
    }
  }

  private fail(error: Error): void {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  close(): void {
    this.socket.destroy();
  }
}

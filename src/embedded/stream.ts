import { Duplex } from 'node:stream';
import { WireReader } from './wire';

/** What a connection hands to the engine: the messages of one request, up to and with its Sync (or a simple Query). */
export interface Session {
  submit(stream: PgliteStream, request: Buffer): void;
  leave(stream: PgliteStream): void;
}

/**
 * The socket that a pg.Client believes it has (`new pg.Client({ stream })`): bytes go to PGlite in the same process. Requests are
 * handed over whole, so that two clients' Parse and Bind messages never mix in the one session that PGlite has.
 */
export class PgliteStream extends Duplex {
  private readonly reader = new WireReader(true);
  private request: Buffer[] = [];

  constructor(private readonly session: Session) {
    super();
  }

  /** pg calls these on a socket. */
  connect(): this {
    process.nextTick(() => this.emit('connect'));
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    for (const { type, bytes } of this.reader.read(chunk)) {
      if (type === 'X') {
        this.push(null);
        this.session.leave(this);
        break;
      }
      this.request.push(bytes);
      if (type === '' || type === 'Q' || type === 'S') {
        this.session.submit(this, Buffer.concat(this.request));
        this.request = [];
      }
    }
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.session.leave(this);
    done(error);
  }
}

import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { BSON, type Document } from 'mongodb';
import { CommandError, StandinCollection } from './collection';

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const HELLO = {
  isWritablePrimary: true,
  helloOk: true,
  maxBsonObjectSize: 16_777_216,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  minWireVersion: 0,
  maxWireVersion: 21,
};

/**
 * A MongoDB in memory for what the real stand-in can't do: unique indexes with names, validators, views. It shows that the driver sends
 * what MongoDB's manual describes, not what MongoDB does.
 */
export class MongoStandin {
  readonly databases = new Map<string, Map<string, StandinCollection>>();
  /** Names of the commands that came, handshakes left out. */
  readonly commands: Document[] = [];
  private readonly sockets = new Set<Socket>();
  private readonly cursors = new Map<number, Document[]>();

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => this.serve(socket));
  }

  static async start(): Promise<MongoStandin> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new MongoStandin(server);
  }

  url(database: string): string {
    return `mongodb://127.0.0.1:${(this.server.address() as AddressInfo).port}/${database}`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    let pending = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      pending = Buffer.concat([pending, data]);
      while (pending.length >= 16 && pending.length >= pending.readInt32LE(0)) {
        const length = pending.readInt32LE(0);
        this.answer(socket, pending.subarray(0, length));
        pending = pending.subarray(length);
      }
    });
  }

  private answer(socket: Socket, message: Buffer): void {
    const [id, code] = [message.readInt32LE(4), message.readInt32LE(12)];
    const reply = BSON.serialize(this.reply(code === OP_QUERY ? parseQuery(message) : parseMessage(message)), { ignoreUndefined: true });
    const head = code === OP_QUERY ? Buffer.alloc(20) : Buffer.alloc(5);
    if (code === OP_QUERY) head.writeInt32LE(1, 16);
    const header = Buffer.alloc(16);
    for (const [i, value] of [16 + head.length + reply.length, 0, id, code === OP_QUERY ? OP_REPLY : OP_MSG].entries())
      header.writeInt32LE(value, i * 4);
    socket.write(Buffer.concat([header, head, reply]));
  }

  private reply(command: Document): Document {
    const [name = ''] = Object.keys(command);
    try {
      if (!['hello', 'ismaster', 'endSessions'].includes(name.toLowerCase())) this.commands.push(command);
      return { ...this.run(name, command), ok: 1 };
    } catch (error) {
      return { ok: 0, errmsg: (error as Error).message, code: error instanceof CommandError ? error.code : 1 };
    }
  }

  private run(name: string, command: Document): Document {
    const database = this.database(String(command['$db'] ?? 'admin'));
    const collection = (): StandinCollection => this.collection(String(command['$db']), String(command[name]));
    switch (name) {
      case 'hello':
      case 'ismaster':
      case 'isMaster':
        return { ...HELLO, ismaster: true, localTime: new Date() };
      case 'ping':
      case 'endSessions':
        return {};
      case 'buildInfo':
        return { version: '7.0.0' };
      case 'saslStart':
        throw new CommandError(18, 'Authentication failed.');
      case 'create':
        database.set(
          command['create'] as string,
          new StandinCollection('', command['viewOn'] === undefined ? 'collection' : 'view', command),
        );
        return {};
      case 'drop':
        database.delete(command['drop'] as string);
        return {};
      case 'insert':
        return each(command['documents'] as Document[], (document) => (collection().insert(document), { n: 1, upserted: undefined }));
      case 'update':
        return each(command['updates'] as Document[], (each) => collection().update(each['q'] as Document, each['u'] as Document, each));
      case 'delete':
        return each(command['deletes'] as Document[], ({ q, limit }) => ({
          n: collection().delete(q as Document, Number(limit)),
          upserted: undefined,
        }));
      case 'count':
        return {
          n: database.get(command['count'] as string)?.find((command['query'] as Document | undefined) ?? {}, command).length ?? 0,
        };
      case 'find':
        return this.page(
          project(database.get(command['find'] as string)?.find((command['filter'] as Document | undefined) ?? {}, command) ?? [], command),
          command,
          'firstBatch',
        );
      case 'getMore':
        return this.page(this.cursors.get(Number(command['getMore'])) ?? [], command, 'nextBatch');
      case 'killCursors':
        return {};
      case 'listCollections':
        return this.page(
          [...database].map(([key, { type, options }]) => ({ name: key, type, options })),
          command,
          'firstBatch',
        );
      case 'listIndexes':
        return this.page(collection().indexes, command, 'firstBatch');
      case 'createIndexes':
        for (const index of command['indexes'] as never[]) collection().createIndex(index);
        return {};
      case 'dropIndexes':
        collection().dropIndex(command['index'] as string);
        return {};
      default:
        throw new CommandError(59, `no such command: '${name}'`);
    }
  }

  database(name: string): Map<string, StandinCollection> {
    const found = this.databases.get(name) ?? new Map<string, StandinCollection>();
    this.databases.set(name, found);
    return found;
  }

  collection(database: string, name: string): StandinCollection {
    const all = this.database(database);
    const found = all.get(name) ?? new StandinCollection(`${database}.${name}`);
    all.set(name, found);
    return found;
  }

  private page(documents: readonly Document[], command: Document, name: string): Document {
    const size = Number(command['batchSize'] ?? 101);
    const id = documents.length > size ? this.cursors.size + 1 : 0;
    if (id > 0) this.cursors.set(id, documents.slice(size));
    const namespace = `${String(command['$db'])}.${String(command['collection'] ?? command[Object.keys(command)[0] ?? ''])}`;
    return { cursor: { id: BSON.Long.fromNumber(id), ns: namespace, [name]: documents.slice(0, size) } };
  }
}

/** As an unordered write: what fails does not stop the others. */
function each(operations: readonly Document[], write: (operation: Document) => { n: number; upserted: unknown }): Document {
  const [writeErrors, upserted]: [Document[], Document[]] = [[], []];
  let n = 0;
  for (const [index, operation] of operations.entries()) {
    try {
      const done = write(operation);
      n += done.n;
      if (done.upserted !== undefined) upserted.push({ index, _id: done.upserted });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      writeErrors.push({ index, code: error.code, errmsg: error.message });
    }
  }
  return { n, nModified: n, ...(upserted.length > 0 && { upserted }), ...(writeErrors.length > 0 && { writeErrors }) };
}

function project(documents: readonly Document[], { projection }: Document): Document[] {
  const names = Object.entries((projection as Record<string, number> | undefined) ?? {});
  if (names.length === 0) return [...documents];
  const wanted = new Set(names.filter(([, show]) => show === 1).map(([name]) => name));
  if ((projection as Document)['_id'] !== 0) wanted.add('_id');
  return documents.map((document) => Object.fromEntries(Object.entries(document).filter(([name]) => wanted.has(name))));
}

function parseQuery(message: Buffer): Document {
  const start = message.indexOf(0, 20) + 1 + 8;
  const { $db = 'admin', ...command } = BSON.deserialize(message.subarray(start, start + message.readInt32LE(start)));
  return { ...command, $db };
}

/** A body, and sequences of documents under a name. */
function parseMessage(message: Buffer): Document {
  const sequences: Document = {};
  let body: Document = {};
  for (let at = 20; at < message.length;) {
    const size = message.readInt32LE(at + 1);
    const section = message.subarray(at + 1, at + 1 + size);
    if (message[at] === 0) body = BSON.deserialize(section);
    else {
      const end = section.indexOf(0, 4);
      const documents: Document[] = [];
      for (let from = end + 1; from < size; from += section.readInt32LE(from)) {
        documents.push(BSON.deserialize(section.subarray(from, from + section.readInt32LE(from))));
      }
      sequences[section.toString('utf8', 4, end)] = documents;
    }
    at += 1 + size;
  }
  return { ...body, ...sequences };
}

import {
  MongoBulkWriteError,
  MongoClient,
  type AnyBulkWriteOperation,
  type Db,
  type DeleteOptions,
  type Document,
  type Filter,
  type FindOptions,
  type ObjectId,
} from 'mongodb';
import { within } from '../../base/deadline';
import { ClosedError, RefusedError, RetryableError } from '../../base/errors';
import { mapError, outcomeOf, refusalText } from './errors';
import type { MongoSettings } from './settings';

/** Ends before healthWithin's deadline, so that the error says why the driver found no server. */
const HEALTH_MS = 2_500;
const NO_ANSWER = `no answer from MongoDB within ${HEALTH_MS / 1_000} s: check host, port, tls= and replicaSet=`;

/** The driver's own id in the server's messages, a number in EMQX's, and the server's own id elsewhere. */
export type Id = ObjectId | number | string;
interface Stored extends Document {
  readonly _id?: Id;
}
export type Query = Filter<Stored>;
/**
 * One operation of a bulk write. Updates are written as updateMany although there is only one document: for each updateOne
 * that finds its document, FerretDB 1.24 keeps a connection until the whole command has ended, and hangs for ever when it
 * has none left.
 */
export type Write = AnyBulkWriteOperation<Stored>;

/** An operation of a bulk write that the database rejected because of its content. */
export interface Refused {
  readonly index: number;
  readonly reason: string;
}

export interface BulkOutcome {
  readonly refused: readonly Refused[];
  /**
   * The operations that found another document under their key. After an update among them, FerretDB skips the operations
   * that follow; MongoDB does not.
   */
  readonly duplicates: readonly number[];
}

/**
 * One MongoDB database. Errors are the server's own kinds. Collections are addressed by name, so that reading creates
 * none. Connects at the first use, and again after a failure.
 */
export class Database {
  private readonly client: MongoClient;
  private readonly db: Db;
  private connecting: Promise<unknown> | null = null;
  private lastFailure: Error | null = null;
  private closed = false;

  constructor(
    private readonly settings: MongoSettings,
    private readonly name: string,
  ) {
    this.client = new MongoClient(settings.href, settings.options);
    this.db = this.client.db(name);
    this.client.on('serverHeartbeatFailed', ({ failure }) => (this.lastFailure = failure));
    this.client.on('serverHeartbeatSucceeded', () => (this.lastFailure = null));
  }

  /**
   * Another connection without a timeout, because building an index on a collection that is taken over takes as long as
   * the collection is large.
   */
  patient(): Database {
    this.checkOpen();
    return new Database({ ...this.settings, options: { ...this.settings.options, socketTimeoutMS: 0 } }, this.name);
  }

  command(command: Document): Promise<Document> {
    return this.run(() => this.db.command(command));
  }

  find<T extends Document>(collection: string, filter: Query, options: FindOptions = {}): Promise<T[]> {
    // Without it the first answer holds 101 documents, and the rest costs a second round trip.
    const batchSize = options.limit ?? 1_000;
    return this.run(() =>
      this.db
        .collection<Stored>(collection)
        .find<T>(filter, { batchSize, ...options })
        .toArray(),
    );
  }

  /** Names, types and options of the collections. */
  collections(): Promise<Document[]> {
    return this.run(() => this.db.listCollections().toArray());
  }

  /** Empty if there is no such collection. */
  async indexes(collection: string): Promise<Document[]> {
    const names = await this.collections();
    if (!names.some(({ name }) => name === collection)) return [];
    return this.run(() => this.db.collection(collection).listIndexes().toArray());
  }

  /** All matching documents of a collection, page by page. */
  async *pages<T extends Document>(collection: string, filter: Query, options: FindOptions, size = 500): AsyncGenerator<T[]> {
    const cursor = this.db.collection<Stored>(collection).find<T>(filter, { batchSize: size, allowDiskUse: true, ...options });
    try {
      for (let page: T[] = []; ; page = []) {
        for (let next: T | null; page.length < size && (next = await this.run(() => cursor.next())) !== null;) page.push(next);
        if (page.length > 0) yield page;
        if (page.length < size) return;
      }
    } finally {
      await cursor.close();
    }
  }

  /** @returns how many documents matched. */
  update(collection: string, filter: Query, update: Document): Promise<number> {
    return this.run(async () => (await this.db.collection<Stored>(collection).updateMany(filter, update)).matchedCount);
  }

  delete(collection: string, filter: Query, options: DeleteOptions = {}): Promise<number> {
    return this.run(async () => (await this.db.collection<Stored>(collection).deleteMany(filter, options)).deletedCount);
  }

  /** The number that the collection itself keeps, so no documents are read. */
  count(collection: string): Promise<number> {
    return this.run(() => this.db.collection(collection).estimatedDocumentCount());
  }

  /** Uses one command per kind of operation. An operation that fails does not stop the others. */
  bulk(collection: string, operations: readonly Write[]): Promise<BulkOutcome> {
    return this.run(async () => {
      try {
        await this.db.collection<Stored>(collection).bulkWrite(operations, { ordered: false });
        return { refused: [], duplicates: [] };
      } catch (error) {
        return bulkOutcome(error);
      }
    });
  }

  /**
   * Writes documents that are found by a unique key. If two writers insert the same key at once, one of them fails and
   * finds the document when it retries. Operations are idempotent, so all can be written again.
   */
  async upsert(collection: string, operations: readonly Write[]): Promise<void> {
    for (let attempt = 0; operations.length > 0 && attempt < 10; attempt++) {
      const { refused, duplicates } = await this.bulk(collection, operations);
      if (refused[0] !== undefined) throw new RefusedError(refused[0].reason);
      if (duplicates.length === 0) return;
    }
    if (operations.length > 0) throw new RetryableError(`too many writers of the same documents in ${collection}`);
  }

  /** For health(): throws the reason a little before the caller stops waiting for an answer. */
  async soon<T>(work: () => Promise<T>): Promise<T> {
    return within(HEALTH_MS, work(), () => mapError(this.lastFailure ?? new Error(NO_ANSWER)));
  }

  private async run<T>(work: () => Promise<T>): Promise<T> {
    this.checkOpen();
    try {
      await this.connected();
      return await work();
    } catch (error) {
      this.checkOpen();
      throw mapError(error);
    }
  }

  /**
   * A client that connects by itself does so only once: if MongoDB is away then, all of its later calls fail with "Topology is closed". A
   * client that is connected needs no more calls, because the driver itself replaces lost connections.
   */
  private async connected(): Promise<void> {
    this.connecting ??= this.client.connect().catch((error: unknown) => {
      this.connecting = null;
      throw error;
    });
    await this.connecting;
  }

  private checkOpen(): void {
    if (this.closed) throw new ClosedError('the store is closed');
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.client.close();
  }
}

/**
 * What became of the operations. Throws if one of them failed for a temporary reason, or if the whole command failed.
 */
function bulkOutcome(error: unknown): BulkOutcome {
  // A command that failed as a whole has no list of operations. A majority that did not confirm in time is another
  // reason to throw.
  if (!(error instanceof MongoBulkWriteError) || error.result.getWriteConcernError() !== undefined) throw error;
  const writeErrors = [error.writeErrors].flat();
  const failed = writeErrors.find((each) => outcomeOf(each) === 'failed');
  if (writeErrors.length === 0 || failed !== undefined) throw error;
  const refused = writeErrors.filter((each) => outcomeOf(each) === 'refused');
  const duplicates = writeErrors.filter((each) => outcomeOf(each) === 'duplicate');
  return {
    refused: refused.map((each) => ({ index: each.index, reason: refusalText(each) })),
    duplicates: duplicates.map(({ index }) => index),
  };
}

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Document } from 'mongodb';
import { RetryableError } from '../../base/errors';
import type { Database, Query } from './database';

const COLLECTION = 'mqtt_offline_migration';
const LOCK = 'lock';
/** After this time (ms) another server may take the lease of a server that died. */
const LEASE_MS = 60_000;
const RENEW_MS = 15_000;
const LOOK_MS = 200;

const lock = (more: Document): Query => ({ _id: LOCK, ...more });

/** Lets one server at a time work: a document with an end time, by the database's clock. */
export class Lease {
  private readonly holder = randomUUID();
  private failure: unknown = null;
  /** By this machine's clock (ms), which goes on while the process stands still. */
  private endsAt = 0;

  constructor(private readonly db: Database) {}

  async hold(work: () => Promise<void>): Promise<void> {
    while (!(await this.take())) await delay(LOOK_MS);
    const timer = setInterval(() => void this.renew(), RENEW_MS);
    try {
      await work();
    } finally {
      clearInterval(timer);
      await this.db.delete(COLLECTION, lock({ holder: this.holder }));
    }
  }

  /** Called directly before each change of documents, because another server may have the lease by now. */
  check(): void {
    if (this.failure !== null || Date.now() >= this.endsAt)
      throw new RetryableError('another server migrates the database', { cause: this.failure });
  }

  private async take(): Promise<boolean> {
    const endsAt = Date.now() + LEASE_MS;
    const now = await this.now();
    const until = new Date(now + LEASE_MS);
    const update = { $set: { holder: this.holder, until } };
    const { duplicates } = await this.db.bulk(COLLECTION, [
      { updateMany: { filter: lock({ until: { $lte: new Date(now) } }), update, upsert: true } },
    ]);
    if (duplicates.length > 0) return false;
    const [held] = await this.db.find(COLLECTION, lock({ holder: this.holder }), { limit: 1 });
    if (held !== undefined) this.endsAt = endsAt;
    return held !== undefined;
  }

  private async renew(): Promise<void> {
    try {
      const endsAt = Date.now() + LEASE_MS;
      const until = new Date((await this.now()) + LEASE_MS);
      await this.db.bulk(COLLECTION, [{ updateMany: { filter: lock({ holder: this.holder }), update: { $set: { until } } } }]);
      const [held] = await this.db.find(COLLECTION, lock({ holder: this.holder }), { limit: 1 });
      if (held === undefined) throw new Error('the lease has run out');
      this.endsAt = endsAt;
    } catch (error) {
      this.failure = error;
    }
  }

  private async now(): Promise<number> {
    const { localTime } = await this.db.command({ hello: 1 });
    return (localTime as Date).getTime();
  }
}

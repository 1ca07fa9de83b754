import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import type { Message } from '../../../src/mqtt/message';
import { row, type MakePlain } from './plain';

/** LMDB with lmdb's own defaults: a batch is one transaction, a value is what lmdb makes of an object. */
export const embedded: MakePlain = async () => {
  const directory = mkdtempSync(join(tmpdir(), 'offline-plain-'));
  const db = open<ReturnType<typeof row>, string>({ path: join(directory, 'plain.mdb') });
  const insert = (messages: readonly Message[]) =>
    db.transaction(() => {
      for (const message of messages) void db.put(message.id, row(message));
    });
  return {
    insert,
    insertKeyed: insert,
    remove: (ids) =>
      db.transaction(() => {
        for (const id of ids) void db.remove(id);
      }),
    close: async () => {
      await db.close();
      rmSync(directory, { recursive: true });
    },
  };
};

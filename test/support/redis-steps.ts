import type { RedisStore } from '../../src/stores/redis';
import type { Database } from '../../src/stores/redis/database';

/** Calls `between` after each time that the store has sent commands and got the answers. It may throw, as if the process died there. */
export function afterEachStep(store: RedisStore, between: (step: number) => Promise<void> | void): void {
  const db = Reflect.get(store, 'db') as Database;
  const all = db.all.bind(db);
  let step = 0;
  db.all = async <R>(...args: Parameters<Database['all']>): Promise<R[]> => {
    const answers = await all<R>(...args);
    await between(step++);
    return answers;
  };
}

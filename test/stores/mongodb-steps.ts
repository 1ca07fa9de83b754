import { setImmediate as immediate } from 'node:timers/promises';
import type { Database } from '../../src/stores/mongodb/database';

const CALLS = ['find', 'bulk', 'update', 'delete'];
type Call = (...args: unknown[]) => Promise<unknown>;

/** A database whose calls wait until the test lets them through, one by one. */
export class Steps {
  private readonly waiting: (() => Promise<void>)[] = [];
  readonly db: Database;

  constructor(db: Database, { afterBulk }: { readonly afterBulk?: () => void } = {}) {
    const waits =
      (name: string, call: Call): Call =>
      (...args) =>
        new Promise((resolve, reject) => {
          this.waiting.push(async () => {
            try {
              const result = await call.apply(db, args);
              if (name === 'bulk') afterBulk?.();
              resolve(result);
            } catch (error) {
              reject(error as Error);
            }
          });
        });
    this.db = new Proxy(db, {
      get: (target, name: string) => {
        const value = Reflect.get(target, name) as unknown;
        return CALLS.includes(name) ? waits(name, value as Call) : value;
      },
    });
  }

  /** Lets the first waiting call through and waits for its result. @returns false if there is none. */
  async step(): Promise<boolean> {
    await immediate();
    const call = this.waiting.shift();
    await call?.();
    await immediate();
    return call !== undefined;
  }

  async toTheEnd(): Promise<void> {
    while (await this.step());
  }
}

/** All orders of so many steps of one actor and so many of another. */
export function ordersOf(first: number, second: number): string[] {
  if (first === 0 || second === 0) return ['S'.repeat(first) + 'R'.repeat(second)];
  return [...ordersOf(first - 1, second).map((rest) => `S${rest}`), ...ordersOf(first, second - 1).map((rest) => `R${rest}`)];
}

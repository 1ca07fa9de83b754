import type { Client } from './client';
import type { Removals } from './removals';

/** Stub; filled in with the mutations. */
export class Sweeper {
  constructor(
    protected readonly db: Client,
    protected readonly removals: Removals,
  ) {}

  run(): Promise<void> {
    return Promise.resolve();
  }
}

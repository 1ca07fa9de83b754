import type { MigrationProgress } from '../../src/base/migration';
import type { Store } from '../../src/stores/store';

/** What a store on EMQX's own tables plans, and what it tells while it migrates. `rows`: by table. */
export async function expectPlannedTakeover(store: Store, rows: Readonly<Record<string, number>>): Promise<void> {
  await expectPlan(store, rows);
  const told: MigrationProgress[] = [];
  await store.migrate((progress) => told.push(progress));
  expectTold(told, rows);
  expect(await store.migrationPlan()).toEqual({ pending: [], takeover: [] });
}

/** The plan names all migrations and all rows, and the next plan is the same: nothing was changed. */
export async function expectPlan(store: Store, rows: Readonly<Record<string, number>>): Promise<void> {
  const plan = await store.migrationPlan();
  expect(plan.pending[0]).toMatch(/^001_/);
  expect(Object.fromEntries(plan.takeover.map(({ table, rows: count }) => [table, count]))).toEqual(rows);
  expect(await store.migrationPlan()).toEqual(plan);
}

/** The count grows from 0 to all rows. */
export function expectTold(told: readonly MigrationProgress[], rows: Readonly<Record<string, number>>): void {
  const total = Object.values(rows).reduce((sum, count) => sum + count, 0);
  const taken = told.map((progress) => progress.taken);
  expect([taken[0], taken.at(-1)]).toEqual([0, total]);
  expect(taken).toEqual([...taken].sort((a, b) => a - b));
  expect(new Set(told.map((progress) => progress.total))).toEqual(new Set([total]));
}

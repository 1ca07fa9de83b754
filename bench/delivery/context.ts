import type { Table } from './figures';
import type { RemoteDouble } from './remote';
import type { Kind } from './target';

/** What each measurement is given. */
export interface Context {
  readonly kind: Kind;
  readonly double: RemoteDouble;
  readonly rounds: number;
  readonly table: Table;
}

export type Measurement = (context: Context) => Promise<void>;

/** A number from the environment. */
export function setting(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name} must be a number`);
  return value;
}

/** Nothing came for so long: what is missing does not come. ms. */
export const PATIENCE_MS = 40_000;

/** What went wrong in a delivery, if anything did. */
export const TROUBLES = [
  { key: 'missing', title: 'not delivered', quiet: true },
  { key: 'again', title: 'delivered more than once', quiet: true },
] as const;

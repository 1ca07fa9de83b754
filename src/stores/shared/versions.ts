import type { Position } from '../store';

export const versionOf = ({ version }: Pick<Position, 'version'>): number => version ?? 0;

/**
 * The stored version as a field of a position. It is left out if it is 0, as in a row of EMQX's plugin. Drivers return
 * BIGINT columns as text.
 */
export function versioned(stored: number | string | bigint | null | undefined): Pick<Position, 'version'> {
  const version = Number(stored ?? 0);
  return version === 0 ? {} : { version };
}

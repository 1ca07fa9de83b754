import { RefusedError } from '../base/errors';
import type { Flaw } from '../contract/flaw';

/** An event that breaks the contract. Sending it again does not help, so it becomes a dead letter. */
export class InvalidEventError extends RefusedError {
  override readonly name = 'InvalidEventError';
  constructor(readonly flaws: readonly Flaw[]) {
    super(flaws.map(({ path, message }) => `${path === '' ? 'the event' : path} ${message}`).join('; '));
  }
}

export function invalid(path: string, message: string): InvalidEventError {
  return new InvalidEventError([{ path, message }]);
}

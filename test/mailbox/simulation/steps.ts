import { RetryableError } from '../../../src/base/errors';

/** The process dies; another one takes its job over. */
export class Died extends Error {}

/** Counts the steps of a job, so that a test can end the job at any step. */
export class Steps {
  /** How many more steps until it happens; null: never. A fraction: the step still has its effect. */
  left: number | null = null;
  kind: 'died' | 'failed' = 'died';
  /** Jobs that ended so. */
  count = 0;
  /** The process is dead: nothing that it still does has an effect, until another one takes over. */
  isDead = false;

  of<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const member = Reflect.get(object, name) as unknown;
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => this.step(() => (member as (...all: unknown[]) => Promise<unknown>).apply(object, args));
      },
    });
  }

  private async step(work: () => Promise<unknown>): Promise<unknown> {
    if (this.isDead) throw new Died();
    if (this.left === null) return work();
    this.left--;
    if (this.left <= -1) this.end();
    const result = await work();
    if (this.left < 0 && this.left > -1) this.end();
    return result;
  }

  private end(): never {
    this.left = null;
    this.count++;
    this.isDead = this.kind === 'died';
    throw this.kind === 'died' ? new Died() : new RetryableError('away');
  }
}

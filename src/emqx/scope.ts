import { ClosedError, errorText } from '../base/errors';
import type { Health } from '../base/health';

/** The calls that are running. Each ends when its caller aborts it, and all end at close(). */
export class Scope {
  private readonly calls = new Set<AbortController>();
  private closed = false;

  async run<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.closed) throw new ClosedError('the EMQX client is closed');
    signal?.throwIfAborted();
    // AbortSignal.any() is not used, because its dependents pile up on a signal that lives as long as the server.
    const call = new AbortController();
    const forward = (): void => call.abort(signal?.reason);
    signal?.addEventListener('abort', forward, { once: true });
    this.calls.add(call);
    try {
      return await work(call.signal);
    } finally {
      signal?.removeEventListener('abort', forward);
      this.calls.delete(call);
    }
  }

  /** Never throws; an error becomes the detail. */
  async health(check: (signal: AbortSignal) => Promise<Health>): Promise<Health> {
    try {
      return await this.run(undefined, check);
    } catch (error) {
      return { ok: false, detail: errorText(error) };
    }
  }

  close(): void {
    this.closed = true;
    for (const call of this.calls) call.abort(new ClosedError('the EMQX client was closed'));
  }
}

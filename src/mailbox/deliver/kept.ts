import { createHash } from 'node:crypto';
import type { SharedState } from '../../lanes/state';
import type { DeliveryRequest } from '../../lanes/jobs';

/** Longer than a subscription is looked at again (times.ts). ms. */
const MEMORY_MS = 5 * 60_000;

/**
 * What a subscription was sent and stays stored all the same (policy qos0 `keep`): no acknowledgement will ever tell the looks for late
 * publishes that it is done. The next subscription is sent it again.
 */
export class KeptMarks {
  constructor(private readonly state: Pick<SharedState, 'lease' | 'release'>) {}

  /** Notes them. @returns those that the subscription was not sent before. */
  async note(owner: string, request: DeliveryRequest, ids: readonly string[]): Promise<ReadonlySet<string>> {
    if (ids.length === 0) return new Set();
    const key = keyOf(owner, request);
    const { granted } = await this.state.lease(ids.map((id) => `${key}:${id}`), owner, MEMORY_MS);
    return new Set(ids.filter((id) => granted.has(`${key}:${id}`)));
  }

  /** They were not sent after all. */
  async forget(owner: string, request: DeliveryRequest, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const key = keyOf(owner, request);
    await this.state.release(ids.map((id) => `${key}:${id}`), owner);
  }
}

function keyOf(owner: string, { filter, at }: DeliveryRequest): string {
  return createHash('sha256').update(JSON.stringify([owner, filter, at])).digest('base64url');
}

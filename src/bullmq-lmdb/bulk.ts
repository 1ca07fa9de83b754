import { remove } from './finish';
import type { Head } from './head';
import type { Placed, State } from './places';
import type { StoredQueue } from './queue';

/** How many jobs one transaction removes. */
const CHUNK = 1_000;
const ALL: readonly State[] = ['active', 'delayed', 'completed', 'waiting', 'failed'];

/** Removes all jobs that wait. */
export async function drain(queue: StoredQueue, withDelayed: boolean): Promise<void> {
  for (const state of withDelayed ? (['waiting', 'delayed'] as const) : (['waiting'] as const)) {
    while ((await queue.write((head) => removeSome(queue, head, state, CHUNK))) === CHUNK);
  }
}

/**
 * Removes up to `count` jobs, and the queue when none is left.
 * @returns 0 if the queue is gone, 1 if jobs are left.
 */
export async function obliterate(
  queue: StoredQueue,
  { force, count }: { readonly force: boolean; readonly count: number },
): Promise<0 | 1> {
  const answer = await queue.write((head) => {
    if (!head.paused) return 'Cannot obliterate non-paused queue';
    if (head.active > 0 && !force) return 'Cannot obliterate queue with active jobs';
    let left = count;
    for (const state of ALL) {
      left -= removeSome(queue, head, state, left);
      if (left <= 0) return 1;
    }
    queue.saveMeta(head, {});
    Object.assign(head, { counter: 0, takes: 0 });
    return 0;
  });
  if (typeof answer === 'string') throw new Error(answer);
  return answer;
}

function removeSome(queue: StoredQueue, head: Head, state: State, most: number): number {
  const some: Placed[] = [];
  for (const placed of queue.places.all(head, state)) {
    if (some.length === most) break;
    some.push(placed);
  }
  for (const placed of some) remove(queue, head, placed);
  return some.length;
}

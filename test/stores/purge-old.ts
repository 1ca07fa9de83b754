import type { Store } from '../../src/stores/store';

/** As maintenance does: what EMQX left there has no time, so that positions count from the takeover and subscriptions stay. */
export async function purgeOld(store: Store): Promise<void> {
  const before = Date.now() - 14 * 86_400_000;
  for (const purge of [() => store.purgePositions(before, 1_000), () => store.purgeSubscriptions(before, 1_000)]) {
    expect(await purge()).toEqual({ removed: 0, more: false });
  }
}

import { RetryableError } from '../../src/base/errors';
import type { FaultyProxy } from './faulty-proxy';
import { inTime } from './wait';

/** As many connections as a pool may have open at once. */
const AT_ONCE = 8;
/** Until all of them are open: a pool goes on with the first, and opens the others meanwhile. */
const OPENING_MS = 300;
/** One timeout, and time for the answers of a busy machine. All dead connections found one after the other take AT_ONCE timeouts. */
const LIMIT_OF_TIMEOUTS = 5;

/**
 * Connections that are open go dead and nobody is told, once while all are in use and once while all are idle. What is under way may fail;
 * what follows works, on new connections. `timeoutMs`: after which the work gives up a connection that is silent.
 */
export async function expectRecovery(proxy: FaultyProxy, work: () => Promise<unknown>, timeoutMs: number): Promise<void> {
  const limitMs = LIMIT_OF_TIMEOUTS * timeoutMs;
  const round = () => Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  const recovered = async (firsts: Promise<PromiseSettledResult<unknown>[]>) => {
    const failed = failures(await firsts);
    for (const each of failed) expect(each).toBeInstanceOf(RetryableError);
    expect(failures(await round())).toEqual([]);
  };
  for (const until = Date.now() + OPENING_MS; Date.now() < until;) expect(failures(await round())).toEqual([]);

  const inUse = round();
  die(proxy);
  await inTime('the recovery of connections in use', limitMs, recovered(inUse));

  die(proxy);
  await inTime('the recovery of idle connections', limitMs, recovered(Promise.allSettled([work()])));
}

/** What is open is dead, new connections work. */
export function die(proxy: FaultyProxy): void {
  proxy.begin('half-open');
  proxy.end();
}

function failures(outcomes: readonly PromiseSettledResult<unknown>[]): unknown[] {
  return outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason as unknown);
}

import type { Stub } from './stub';

/** The longest time limit of a request to EMQX (ms). */
const LIMIT_MS = 10_000;

/**
 * The result of work whose request number `count` the stub never answers. The time limit of that request ends as soon
 * as the stub has read the request. No other request can be too late, however busy the machine is.
 */
export async function unanswered<T>(stub: Stub, count: number, work: () => Promise<T>): Promise<T> {
  // Only setTimeout and clearTimeout are the test's. Node's own timers are others.
  jest.useFakeTimers({
    doNotFake: [
      'Date',
      'hrtime',
      'nextTick',
      'performance',
      'queueMicrotask',
      'setImmediate',
      'clearImmediate',
      'setInterval',
      'clearInterval',
    ],
  });
  try {
    const result = work();
    await stub.received(count);
    jest.advanceTimersByTime(LIMIT_MS);
    return await result;
  } finally {
    jest.useRealTimers();
  }
}

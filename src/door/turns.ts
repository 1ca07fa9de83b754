import type { RequestListener } from 'node:http';

/** Long enough that the loop's own cost is nothing beside it. ms */
const SLICE_MS = 5;

/**
 * Works on requests for a few ms at a time, in their order. Node takes one new connection each time round its event loop (libuv 1.45 and later): were
 * everything that has arrived worked on in one go, a server that is busy would take ten connections a second, and refuse the others without a word.
 * Whoever looks after the server (GET) does not wait behind its events.
 */
export function inTurns(listener: RequestListener, sliceMs = SLICE_MS): RequestListener {
  const waiting: Parameters<RequestListener>[] = [];
  const work = (): void => {
    const end = performance.now() + sliceMs;
    do {
      const next = waiting.shift();
      if (next === undefined) return;
      listener(...next);
    } while (performance.now() < end);
    if (waiting.length > 0) setImmediate(work);
  };
  return (req, res) => {
    if (req.method === 'GET') listener(req, res);
    else if (waiting.push([req, res]) === 1) setImmediate(work);
  };
}

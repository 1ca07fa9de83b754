import type { RequestListener } from 'node:http';

/** How long requests are worked on before the event loop goes on (ms). The loop itself takes far less time. */
const SLICE_MS = 5;

/**
 * Works on requests for a few ms at a time, in their order. Node accepts one new connection in each round of its event
 * loop (libuv 1.45 and later). Without these turns a busy server would accept about ten connections in a second, and
 * the kernel would drop the others. A GET does not wait behind events, so that operators get an answer from a busy
 * server.
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

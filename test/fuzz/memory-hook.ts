import { isMainThread } from 'node:worker_threads';

/** Loaded into the server under test: on SIGUSR2 it collects garbage and says what is left. */
if (isMainThread) {
  process.on('SIGUSR2', () => {
    globalThis.gc?.();
    setImmediate(() => {
      globalThis.gc?.();
      process.stderr.write(`MEMORY ${JSON.stringify(process.memoryUsage())}\n`);
    });
  });
}

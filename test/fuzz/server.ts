/** The server under test; on SIGUSR2 it collects garbage and says what is left. */
process.on('SIGUSR2', () => {
  globalThis.gc?.();
  setImmediate(() => {
    globalThis.gc?.();
    process.stderr.write(`MEMORY ${JSON.stringify(process.memoryUsage())}\n`);
  });
});

void import('../../src/main.js');

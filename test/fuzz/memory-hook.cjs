// Loaded into the server under test (NODE_OPTIONS=--require): on SIGUSR2 it collects garbage and says what is left.
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const { isMainThread } = require('node:worker_threads');

if (isMainThread) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  process.on('SIGUSR2', () => {
    collect();
    setImmediate(() => {
      collect();
      process.stderr.write(`MEMORY ${JSON.stringify(process.memoryUsage())}\n`);
    });
  });
}

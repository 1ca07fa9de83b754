// @ts-check
'use strict';

/**
 * The thread that PGlite runs in, so that a slow statement never stops the server's event loop. It is plain JavaScript because a
 * worker is started from a file, and the same file must serve from src/ (tests, tsx) and from dist/.
 */

const { parentPort, workerData } = require('node:worker_threads');
const { PGlite } = require('@electric-sql/pglite');

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);

async function main() {
  const db = await PGlite.create(workerData.directory);
  await db.exec(workerData.setup);
  port.on('message', (/** @type {Uint8Array | 'close'} */ message) => {
    if (message === 'close') {
      db.close().then(() => process.exit(0));
      return;
    }
    db.runExclusive(() => db.execProtocolRaw(message, { syncToFs: false })).then(
      (answer) => port.postMessage({ answer }),
      (error) => port.postMessage({ error: String(error) }),
    );
  });
  port.postMessage('ready');
}

void main();

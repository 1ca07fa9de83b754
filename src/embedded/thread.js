// @ts-check
'use strict';

/**
 * The thread that PGlite runs in, so that a slow statement never stops the server's event loop; as a program, `thread.js DIRECTORY` makes the
 * database. It is plain JavaScript because a worker is started from a file, and the same file must serve from src/ (tests, tsx) and
 * from dist/.
 */

const { isMainThread, parentPort, workerData } = require('node:worker_threads');
const { setFlagsFromString } = require('node:v8');
const { PGlite } = require('@electric-sql/pglite');

// Of 9 MB of WASM little is ever called: compiling all of it at the start takes 80 MB.
setFlagsFromString('--wasm-lazy-compilation');

/** It serves one session, whose pages the operating system caches, too: PostgreSQL's default of 128 MB is memory that this process would keep. */
const SETTINGS = ['-c', 'shared_buffers=8MB', '-c', 'max_connections=10'];

/** In a process of its own: making a database takes 500 MB, which this process would keep. */
async function create(/** @type {string} */ directory) {
  const db = await PGlite.create(directory);
  await db.close();
}

async function serve() {
  const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
  const db = await PGlite.create(workerData.directory, { startParams: [...PGlite.defaultStartParams, ...SETTINGS] });
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

void (isMainThread ? create(/** @type {string} */ (process.argv[2])) : serve());

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

/**
 * What made PostgreSQL give up (PANIC: it cannot write its log, as on a full disk) or the WASM engine break. PGlite swallows both and goes on with
 * locks held for ever (0.5.16), so we look at its loop ourselves.
 * @type {unknown}
 */
let broken = null;

function watch(/** @type {PGlite} */ db) {
  const { mod, POSTGRES_MAIN_LONGJMP } = /** @type {any} */ (db);
  const once = mod._PostgresMainLoopOnce;
  if (typeof once !== 'function' || typeof POSTGRES_MAIN_LONGJMP !== 'number') throw new TypeError('this version of PGlite has another main loop');
  mod._PostgresMainLoopOnce = () => {
    try {
      return once();
    } catch (error) {
      // An ordinary error of a statement.
      if (/** @type {{ status?: unknown }} */ (error).status !== POSTGRES_MAIN_LONGJMP) broken ??= error;
      throw error;
    }
  };
}

/**
 * Streamed: PGlite's execProtocolRaw parses each answer beside handing it over, and keeps what it has parsed for ever (0.5.16).
 * @param {PGlite} db
 * @param {Uint8Array} message
 */
async function answerTo(db, message) {
  const startup = message[0] === 0;
  // PGlite answers that one itself, beside the stream.
  if (startup) return db.execProtocolRaw(message, { syncToFs: false });
  /** @type {Uint8Array[]} */
  const parts = [];
  // A copy: what it gives us is the database's own memory.
  await db.execProtocolRawStream(message, { syncToFs: false, onRawData: (part) => parts.push(part.slice()) });
  const [only, ...others] = parts;
  if (only !== undefined && others.length === 0) return only;
  const answer = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    answer.set(part, at);
    at += part.length;
  }
  return answer;
}

async function serve() {
  const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
  const db = await PGlite.create(workerData.directory, { startParams: [...PGlite.defaultStartParams, ...SETTINGS] });
  watch(db);
  await db.exec(workerData.setup);
  port.on('message', (/** @type {Uint8Array | 'close'} */ message) => {
    if (message === 'close') {
      db.close().then(() => process.exit(0));
      return;
    }
    db.runExclusive(() => answerTo(db, message)).then(
      (answer) => port.postMessage(broken === null ? { answer } : { broken: String(broken) }),
      (error) => port.postMessage({ broken: String(error) }),
    );
  });
  port.postMessage('ready');
}

void (isMainThread ? create(/** @type {string} */ (process.argv[2])) : serve());

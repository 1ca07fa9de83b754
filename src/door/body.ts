import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Problem, type ProblemExtras, type ProblemKind } from './problem';

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?$/i;

/**
 * A body above the limit is read to its end before the 413 is sent, because a client that is still sending may not read
 * an answer. A body of more than this many times the limit is answered at once.
 */
const FLOOD = 4;
const HEAD_BYTES = 64 * 1024;

/**
 * A body that was rejected. `head` is the beginning of the body, for the dead letter. It is null if the connection
 * broke, because EMQX then sends the event again.
 */
export class BodyProblem extends Problem {
  constructor(
    kind: ProblemKind,
    detail: string,
    readonly head: Buffer | null,
    extras: ProblemExtras = {},
  ) {
    super(kind, detail, extras);
  }
}

/** @throws Problem 415 if the Content-Type is not JSON in UTF-8 */
function requireJson({ headers }: IncomingMessage): void {
  const type = headers['content-type'] ?? '';
  if (type !== 'application/json' && !JSON_TYPE.test(type.trim())) {
    throw new Problem('unsupported-media-type', 'Send Content-Type: application/json (UTF-8).');
  }
}

/**
 * Rejects events from web pages. The Content-Type of other events is not checked, because EMQX sends JSON whatever
 * header an operator sets in its action, and EMQX drops an event that gets a 415. A browser sends Origin, which EMQX
 * never does. For some content types a browser posts to any address without a preflight request. For JSON it asks
 * first, and the server does not allow it.
 * @throws Problem 415 for a request with Origin whose Content-Type is not JSON
 */
export function refuseBrowsers(req: IncomingMessage): void {
  if (req.headers.origin !== undefined) requireJson(req);
}

/**
 * Reads and decompresses the body of a request.
 * @param limit bytes after decompression.
 * @throws BodyProblem 413 above the limit, 415 for an unknown Content-Encoding, and 400 if the body can't be
 *   decompressed or ends early.
 */
export async function readBody(req: IncomingMessage, limit: number): Promise<Buffer> {
  const packed = req.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (packed === 'identity' || packed === '') return collect(req, req, limit);
  const source = unpacked(req, packed);
  if (source !== null) return collect(source, req, limit);
  throw new BodyProblem('unsupported-media-type', 'The Content-Encoding is not supported.', await collect(req, req, limit));
}

/**
 * Reads a body that must have the Content-Type of JSON; see refuseBrowsers for the reason.
 * @throws Problem 400, 413, 415
 */
export async function readJson(req: IncomingMessage, limit: number): Promise<unknown> {
  requireJson(req);
  return parseJson(await readBody(req, limit));
}

/** @returns null if the Content-Encoding is unknown. */
function unpacked(req: IncomingMessage, encoding: string): Readable | null {
  switch (encoding) {
    case 'gzip':
    case 'x-gzip':
      return req.pipe(createGunzip());
    case 'deflate':
      return req.pipe(createInflate());
    case 'br':
      return req.pipe(createBrotliDecompress());
    default:
      return null;
  }
}

function collect(source: Readable, req: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // The connection is closed, because the rest of the body is not read.
    const tooLarge = (detail: string) => reject(new BodyProblem('too-large', detail, head(), { headers: { Connection: 'close' } }));
    const head = () => Buffer.concat(chunks);
    const brokenOff = () => reject(new BodyProblem('malformed', 'The body ended early.', null));
    const flood = () => tooLarge('The body is much larger than the limit.');
    const chunks: Buffer[] = [];
    let [received, kept] = [0, 0];
    // The client has gone while the request waited for its turn. Node would emit nothing more for the request.
    if (req.destroyed) return brokenOff();
    if (Number(req.headers['content-length'] ?? 0) > limit * FLOOD) return flood();
    source.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received <= limit) {
        chunks.push(chunk);
        kept += chunk.length;
      } else {
        if (received - chunk.length <= limit) chunks.splice(0, chunks.length, beginningOf([...chunks, chunk]));
        if (received > limit * FLOOD) flood();
      }
    });
    source.once('end', () => {
      if (received > limit) tooLarge('The body is larger than the limit.');
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, kept));
    });
    const broken = () => {
      // The rest of the body is read and dropped, because it stands before the connection's next request.
      req.unpipe().resume();
      reject(new BodyProblem('malformed', 'The body cannot be unpacked.', head()));
    };
    source.once('error', source === req ? brokenOff : broken);
    if (source !== req) req.once('error', brokenOff);
    // A body that has arrived as a whole is dropped, too, if the client goes before it is read.
    req.once('close', () => req.readableEnded || brokenOff());
  });
}

/** Returns a copy, because a view would keep the whole body in memory. */
function beginningOf(chunks: readonly Buffer[]): Buffer {
  return Buffer.concat(
    chunks,
    Math.min(
      HEAD_BYTES,
      chunks.reduce((sum, { length }) => sum + length, 0),
    ),
  );
}

/** Whether the request has a body. Operations with an optional body ask this before they read it. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0;
}

/** @throws Problem 400 */
export function parseJson(body: Buffer): unknown {
  if (!isUtf8(body)) throw new Problem('malformed', 'The body is not UTF-8.');
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8', hasByteOrderMark(body) ? 3 : 0));
  } catch {
    throw new Problem('malformed', body.length === 0 ? 'The body is empty.' : 'The body is not JSON.');
  }
  if (!isShallow(json, MAX_DEPTH)) throw new Problem('malformed', `The body is nested more than ${MAX_DEPTH} levels deep.`);
  return json;
}

/** Some programs begin every UTF-8 text with U+FEFF. */
function hasByteOrderMark(body: Buffer): boolean {
  return body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf;
}

/**
 * The deepest nesting of a body; EMQX's own events have four levels. The limit protects the stack, because Node and the
 * databases write and read stored JSON recursively.
 */
const MAX_DEPTH = 32;

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) return (value as unknown[]).every((each) => isShallow(each, depth - 1));
  // for...in makes no array of the values. This code runs for each event.
  for (const key in value) if (!isShallow((value as Record<string, unknown>)[key], depth - 1)) return false;
  return true;
}

import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Problem } from './problem';

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?$/i;

/**
 * A body that is too large is read to its end before anybody is told: an answer in the middle of it might not be read. For the end of one that is
 * so many times too large nobody waits.
 */
const FLOOD = 4;

/** Reads a request's JSON body, unpacked, at most `limit` bytes of it. @throws Problem 413, 415 or, when it can't be unpacked or ends early, 400 */
export function readBody(req: IncomingMessage, limit: number): Promise<Buffer> {
  const type = req.headers['content-type'] ?? '';
  if (type !== 'application/json' && !JSON_TYPE.test(type.trim())) {
    throw new Problem('unsupported-media-type', 'Send Content-Type: application/json (in UTF-8).');
  }
  const packed = req.headers['content-encoding'];
  if (packed !== undefined && packed.toLowerCase() !== 'identity') return collect(unpacked(req, packed.toLowerCase()), req, limit);
  return collect(req, req, limit);
}

function unpacked(req: IncomingMessage, encoding: string): Readable {
  switch (encoding) {
    case 'gzip':
    case 'x-gzip':
      return req.pipe(createGunzip());
    case 'deflate':
      return req.pipe(createInflate());
    case 'br':
      return req.pipe(createBrotliDecompress());
    default:
      throw new Problem('unsupported-media-type', 'The Content-Encoding is not supported.');
  }
}

function collect(source: Readable, req: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // The rest of the body is still on its way; nobody reads it.
    const tooLarge = (detail: string) => reject(new Problem('too-large', detail, { headers: { Connection: 'close' } }));
    const flood = () => tooLarge('The body is far over the limit.');
    if (Number(req.headers['content-length'] ?? 0) > limit * FLOOD) return flood();
    let chunks: Buffer[] = [];
    let [received, kept] = [0, 0];
    source.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received <= limit) {
        chunks.push(chunk);
        kept += chunk.length;
      } else {
        chunks = [];
        if (received > limit * FLOOD) flood();
      }
    });
    source.once('end', () => {
      if (received > limit) tooLarge('The body is over the limit.');
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, kept));
    });
    const broken = () => {
      // The rest of the body is read and dropped, because it stands before the connection's next request.
      if (source !== req) req.unpipe().resume();
      reject(new Problem('malformed', 'The body cannot be read.'));
    };
    source.once('error', broken);
    if (source !== req) req.once('error', broken);
    req.once('close', () => req.complete || broken());
  });
}

/** Where one may be left out. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0;
}

/** @throws Problem 400 */
export function parseJson(body: Buffer): unknown {
  if (!isUtf8(body)) throw new Problem('malformed', 'The body is not UTF-8.');
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    throw new Problem('malformed', body.length === 0 ? 'The body is empty.' : 'The body is not JSON.');
  }
  if (!isShallow(json, MAX_DEPTH)) throw new Problem('malformed', `The body is nested more than ${MAX_DEPTH} levels deep.`);
  return json;
}

/** EMQX's own events have four. What is stored is written as JSON again, and that is recursive in Node and in the databases. */
const MAX_DEPTH = 32;

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) return (value as unknown[]).every((each) => isShallow(each, depth - 1));
  // No array of all values is made: this is done for each event.
  for (const key in value) if (!isShallow((value as Record<string, unknown>)[key], depth - 1)) return false;
  return true;
}

import { isUtf8 } from 'node:buffer';
import express, { type Request, type Response } from 'express';
import { Problem } from './problem';

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?$/i;

/** Reads a body's bytes, at most `limit` of them, unpacked. The reader throws Problem 415 and express's 413. */
export function bodyReader(limit: number): (req: Request, res: Response) => Promise<Buffer> {
  const parser = express.raw({ type: () => true, limit });
  return async (req, res) => {
    if (!JSON_TYPE.test((req.get('Content-Type') ?? '').trim())) {
      throw new Problem('unsupported-media-type', 'Send Content-Type: application/json (in UTF-8).');
    }
    await new Promise<void>((resolve, reject) => {
      watchFlood(req, limit * FLOOD, reject);
      parser(req, res, (error?: unknown) => (error === undefined ? resolve() : reject(error as Error)));
    });
    // Without a body the parser sets nothing.
    const body: unknown = req.body;
    return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  };
}

/** Where one may be left out. */
export function hasBody(req: Request): boolean {
  return req.get('Transfer-Encoding') !== undefined || Number(req.get('Content-Length') ?? 0) !== 0;
}

/**
 * The parser reads a body that is too large to its end before it says so: an answer in the middle of it might not be read. Of one that is
 * so many times too large nobody waits for the end.
 */
const FLOOD = 4;

function watchFlood(req: Request, bytes: number, stop: (problem: Problem) => void): void {
  const flood = (): void => stop(new Problem('too-large', 'The body is far over the limit.', { headers: { Connection: 'close' } }));
  if (Number(req.get('Content-Length') ?? 0) > bytes) return flood();
  let received = 0;
  req.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received > bytes) flood();
  });
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
  for (const each of Array.isArray(value) ? (value as unknown[]) : Object.values(value)) if (!isShallow(each, depth - 1)) return false;
  return true;
}

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
    await new Promise<void>((resolve, reject) => parser(req, res, (error?: unknown) => (error === undefined ? resolve() : reject(error as Error))));
    // Without a body the parser sets nothing.
    const body: unknown = req.body;
    return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  };
}

/** @throws Problem 400 */
export function parseJson(body: Buffer): unknown {
  if (!isUtf8(body)) throw new Problem('malformed', 'The body is not UTF-8.');
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new Problem('malformed', body.length === 0 ? 'The body is empty.' : 'The body is not JSON.');
  }
}

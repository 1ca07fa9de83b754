import { RefusedError } from '../base/errors';

/**
 * The limit for a client id or a topic as one segment of a path in EMQX's REST API. EMQX's HTTP server (cowboy) accepts
 * request lines of 8,000 bytes. It also resolves `.` and `..` after decoding, however they are encoded:
 * `/clients/../subscribe` is another path. Such a name must not be retried for ever, because any client may choose it
 * and would stop its lane for all others.
 */
const MAX_LENGTH = 7_800;

/** @throws RefusedError */
export function pathSegment(text: string): string {
  const problem = segmentProblem(text);
  if (problem !== null) throw new RefusedError(problem);
  return encodeURIComponent(text);
}

/** @returns why the text can't be a path segment, or null. */
export function segmentProblem(text: string): string | null {
  if (text === '' || text === '.' || text === '..') return `EMQX's REST API has no path for the name ${JSON.stringify(text)}`;
  const { length } = encodeURIComponent(text);
  return length > MAX_LENGTH ? `EMQX's REST API has no path for a name of ${length} bytes (percent-encoded)` : null;
}

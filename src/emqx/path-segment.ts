import { RefusedError } from '../base/errors';

/**
 * A client id or a topic as one segment of a path of EMQX's REST API. EMQX's HTTP server (cowboy) takes request lines of 8,000 bytes, and
 * drops `.` and `..` after it has decoded a path, however they are written: `/clients/../subscribe` is another place. What can't be
 * named so must not be asked for again and again: anybody may choose such a client id, and its lane would stand still for everybody.
 */
const MAX_LENGTH = 7_800;

/** @throws RefusedError */
export function pathSegment(text: string): string {
  const problem = segmentProblem(text);
  if (problem !== null) throw new RefusedError(problem);
  return encodeURIComponent(text);
}

/** @returns why there is no path for it, or null. */
export function segmentProblem(text: string): string | null {
  if (text === '' || text === '.' || text === '..') return `EMQX's REST API has no path for the name ${JSON.stringify(text)}`;
  const { length } = encodeURIComponent(text);
  return length > MAX_LENGTH ? `EMQX's REST API has no path for a name of ${length} bytes (percent-encoded)` : null;
}

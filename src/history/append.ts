import { RefusedError } from '../base/errors';
import type { Message } from '../mqtt/message';
import { saveOrBisect } from '../stores/shared/bisect';
import type { Refusal } from '../stores/store';
import { Source } from './points';
import type { Templates } from './template';

/** A batch may hold 256 payloads of 1 MB, so it is rendered and written in pages of this size. */
const PAGE_BYTES = 4_000_000;

/**
 * The limit of one message's points. "$0" makes as many points as a payload has elements, and each may repeat the whole
 * payload.
 */
const MAX_BYTES = 16_000_000;

/** The points of one message in the sink's own form. */
export interface Rendered<P> {
  readonly points: readonly P[];
  readonly bytes: number;
}

export interface PointWriter<P> {
  /**
   * @returns null if the message is not for this sink.
   * @throws RefusedError if the message makes no point
   */
  render(message: Message): Rendered<P> | null;
  /**
   * Must be atomic or idempotent.
   * @throws RefusedError if the database rejects the content of a message
   */
  write(points: readonly P[], messages: readonly Message[]): Promise<void>;
}

/**
 * Renders and writes page by page.
 * @returns the messages that can't be stored. All others are stored.
 */
export async function appendPoints<P>(messages: readonly Message[], writer: PointWriter<P>): Promise<Refusal[]> {
  const refusals: Refusal[] = [];
  let page = new Map<Message, readonly P[]>();
  let bytes = 0;
  const flush = async (): Promise<void> => {
    const points = page;
    refusals.push(
      ...(await saveOrBisect([...points.keys()], (batch) =>
        writer.write(
          batch.flatMap((each) => points.get(each) ?? []),
          batch,
        ),
      )),
    );
    [page, bytes] = [new Map(), 0];
  };
  for (const message of messages) {
    const rendered = renderOrRefuse(message, writer, refusals);
    if (rendered === null) continue;
    if (page.size > 0 && bytes + rendered.bytes > PAGE_BYTES) await flush();
    page.set(message, rendered.points);
    bytes += rendered.bytes;
  }
  if (page.size > 0) await flush();
  return refusals;
}

function renderOrRefuse<P>(message: Message, { render }: PointWriter<P>, refusals: Refusal[]): Rendered<P> | null {
  try {
    return render(message);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    refusals.push({ id: message.id, reason: error.message });
    return null;
  }
}

/**
 * All points that a message makes by the templates of its topic. A missing value leaves out what depends on it, if
 * necessary the whole point. A message without any point is rejected.
 */
export function renderMessage<T, P>(
  message: Message,
  templates: Templates<T>,
  pointsOf: (source: Source, template: T) => Iterable<P>,
  sizeOf: (point: P) => number,
): Rendered<P> | null {
  const entries = templates.of(message.topic);
  if (entries.length === 0) return null;
  const source = new Source(message);
  const points: P[] = [];
  let bytes = 0;
  for (const { template } of entries) {
    for (const point of pointsOf(source, template)) {
      bytes += sizeOf(point);
      if (bytes > MAX_BYTES) throw new RefusedError(`makes more than ${MAX_BYTES / 1_000_000} MB of data points`);
      points.push(point);
    }
  }
  if (points.length > 0) return { points, bytes };
  const filters = entries.map(({ filter }) => `"${filter ?? '#'}"`).join(', ');
  throw new RefusedError(
    `makes no data point: ${source.isJson ? `the payload has no value for the template of ${filters}` : 'the payload is not JSON'}`,
  );
}

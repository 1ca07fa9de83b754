import { Pipeline } from './pipeline';
import { publishEvent } from './server';

export interface Load {
  readonly port: number;
  readonly connections: number;
  /** Requests under way on each connection. */
  readonly pipelining: number;
  readonly seconds: number;
  readonly topics: number;
}

export interface Outcome {
  /** Events that were answered 202. */
  readonly accepted: number;
  readonly seconds: number;
}

/** Posts one event after another on each connection, as fast as the answers come. */
export async function offerLoad({ port, connections, pipelining, seconds, topics }: Load): Promise<Outcome> {
  const pipelines = await Promise.all(Array.from({ length: connections }, () => Pipeline.open(port)));
  const start = performance.now();
  let accepted = 0;
  const chain = async (pipeline: Pipeline) => {
    while (performance.now() - start < seconds * 1_000) {
      if ((await pipeline.post('/v1/events/message.publish', publishEvent(topics))).status === 202) accepted++;
    }
  };
  await Promise.all(pipelines.flatMap((pipeline) => Array.from({ length: pipelining }, () => chain(pipeline))));
  const took = (performance.now() - start) / 1_000;
  for (const pipeline of pipelines) pipeline.close();
  return { accepted, seconds: took };
}

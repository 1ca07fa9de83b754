import { dependencyOf, isExpected } from '../base/dependency';
import { atMostEvery, type Logger } from '../base/log';

/** Jobs are retried up to ten times a second: the log has one line for each lane in this time. */
const LOG_MS = 60_000;

/**
 * For a lane's consumer. While a dependency is unavailable the log has one line about that already (dependency-log.ts), and a retry is a line
 * at debug.
 */
export function retryLog(log: Logger): (lane: string, error: Error, attempt: number) => void {
  const request = atMostEvery(LOG_MS, ({ name, ...fields }: { name?: string }) => log.warn(fields, `request to ${name} failed, retrying`));
  const job = atMostEvery(LOG_MS, (fields: object) => log.warn(fields, 'job failed, retrying'));
  const bug = atMostEvery(LOG_MS, (fields: object) => log.error(fields, 'job failed unexpectedly, retrying'));
  return (lane, error, attempt) => {
    const fields = { lane, attempt, err: error };
    const dependency = dependencyOf(error);
    if (dependency?.isTroubled === true) log.debug(fields, `${dependency.name} unavailable, retrying`);
    else if (dependency !== null) request({ name: dependency.name, ...fields }, `${lane} ${dependency.name}`);
    else if (isExpected(error)) job(fields, lane);
    else bug(fields, lane);
  };
}

/** For the trimmer: each stored message may begin a look at its topic. */
export function trimmingLog(log: Logger): (error: unknown) => void {
  const failed = atMostEvery(LOG_MS, (fields: object) => log.warn(fields, 'topic not trimmed to maxStored; it is checked again later'));
  const bug = atMostEvery(LOG_MS, (fields: object) => log.error(fields, 'topic not trimmed to maxStored: unexpected error'));
  return (error) => {
    if (dependencyOf(error)?.isTroubled === true) log.debug({ err: error }, 'topic not trimmed to maxStored; it is checked again later');
    else if (isExpected(error)) failed({ err: error });
    else bug({ err: error });
  };
}

import { dependencyOf, isExpected } from '../base/dependency';
import { atMostEvery, type Logger } from '../base/log';

/**
 * The log has at most one line for each lane in this time (ms), because a job may be retried up to ten times a second.
 */
const LOG_MS = 60_000;

/**
 * Logs the retries of a lane's consumer. While a dependency is unavailable they are logged at debug, because the log
 * has a line about the dependency already (dependency-log.ts).
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

/**
 * Logs the errors of the trimmer, at most one line in a minute. Any stored message may start a check of its topic, so
 * there may be many errors.
 */
export function trimmingLog(log: Logger): (error: unknown) => void {
  const failed = atMostEvery(LOG_MS, (fields: object) => log.warn(fields, 'topic not trimmed to maxStored; it is checked again later'));
  const bug = atMostEvery(LOG_MS, (fields: object) => log.error(fields, 'topic not trimmed to maxStored: unexpected error'));
  return (error) => {
    if (dependencyOf(error)?.isTroubled === true) log.debug({ err: error }, 'topic not trimmed to maxStored; it is checked again later');
    else if (isExpected(error)) failed({ err: error });
    else bug({ err: error });
  };
}

import { EventEmitter } from 'node:events';
import type { IQueueBackend } from 'bullmq';
import { unsupported } from './errors';

const REFUSED = [
  ...([
    'addFlow',
    'moveToWaitingChildren',
    'removeUnprocessedChildren',
    'removeChildDependency',
    'getDependencyCounts',
    'getDependencies',
  ] as const),
  ...(['getProcessedChildrenValues', 'getIgnoredChildrenFailures', 'paginate'] as const),
  ...(['addJobScheduler', 'updateJobSchedulerNextMillis', 'removeJobScheduler', 'getJobScheduler', 'isJobScheduler'] as const),
  ...(['getJobSchedulerData', 'getJobSchedulersRange', 'getJobSchedulersCount'] as const),
  ...(['removeDeduplicationKey', 'deleteDeduplicationKey', 'getDeduplicationJobId'] as const),
  ...(['changePriority', 'getCountsPerPriority', 'removeDeprecatedPriorityKey'] as const),
  ...(['setRateLimit', 'getRateLimitTtl', 'removeRateLimitKey'] as const),
  ...(['addLog', 'clearLogs', 'getJobLogs', 'getMetrics', 'readEvents'] as const),
  ...(['retryFinishedJob', 'retryFinishedJobs', 'promoteJobs', 'cleanJobsByState', 'removeOrphanedJobs'] as const),
] as const;

class Refusing extends EventEmitter {}
for (const operation of REFUSED)
  Object.defineProperty(Refusing.prototype, operation, { value: () => Promise.reject(unsupported(operation)) });

/**
 * An emitter with the operations that this backend does not support. Each of them rejects with an error that names it.
 */
export const RefusingBackend = Refusing as unknown as new () => EventEmitter & Pick<IQueueBackend, (typeof REFUSED)[number]>;

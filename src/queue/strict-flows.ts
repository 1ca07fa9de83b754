import type { FlowProducer, IQueueBackend } from 'bullmq';

type Backend = Pick<IQueueBackend, 'addFlow'>;

/**
 * BullMQ's addBulk drops the errors that its backend returns for single jobs, and would call a job added that is not: what we answer 202
 * must be in the queue (promise 1). Makes the backend throw the first of them.
 */
export function strict<F extends Pick<FlowProducer, 'addBulk'> & { getBackend(): Backend }>(flows: F): F {
  const backend = flows.getBackend();
  const addFlow = backend.addFlow.bind(backend);
  backend.addFlow = async (entries) => {
    const results = await addFlow(entries);
    if (results === null || results.length < entries.length) throw new Error('the jobs were not added');
    for (const [error, id] of results) {
      if (error) throw error;
      if (typeof id === 'number' && id < 0) throw new Error(`a job was not added (code ${id})`);
    }
    return results;
  };
  return flows;
}

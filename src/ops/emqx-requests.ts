import type { Metrics } from '../base/metrics';
import type { Exchange } from '../emqx/http';

/** Measures the requests to EMQX's REST API: their time, and their errors. */
export function observeEmqx({ emqxDuration, emqxErrors }: Pick<Metrics, 'emqxDuration' | 'emqxErrors'>): (exchange: Exchange) => void {
  return ({ operation, outcome, seconds }) => {
    emqxDuration.observe({ operation }, seconds);
    const kind = kindOf(operation, outcome);
    if (kind !== null) emqxErrors.inc({ operation, kind });
  };
}

/**
 * null if the outcome is no error. A 404 is none if EMQX thereby says that a client is not connected, or that a topic
 * has no retained message.
 */
function kindOf(operation: string, outcome: Exchange['outcome']): string | null {
  if (typeof outcome === 'string') return outcome;
  if (outcome < 300) return null;
  if (outcome === 401 || outcome === 403) return 'auth';
  if (outcome === 404) return operation.includes('{') ? null : 'not_found';
  return outcome < 500 ? 'rejected' : 'server_error';
}

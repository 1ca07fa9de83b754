import type { Backends } from './backends';
import type { Logger } from '../base/log';
import type { Metrics } from '../base/metrics';
import type { Config } from '../config/config';
import type { EmqxApi } from '../emqx/api';

/** What Core and the work on its lanes use. */
export interface CoreDeps {
  readonly config: Config;
  readonly backends: Backends;
  /** null if EMQX_API_KEY is not set. */
  readonly emqx: EmqxApi | null;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
}

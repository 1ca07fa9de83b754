import type { Backends } from './backends';
import type { Logger } from '../base/log';
import type { Metrics } from '../base/metrics';
import type { Config } from '../config/config';
import type { EmqxApi } from '../emqx/api';

/** What the core is made with. */
export interface CoreDeps {
  readonly config: Config;
  readonly backends: Backends;
  /** null: no EMQX_API_KEY. */
  readonly emqx: EmqxApi | null;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
}

import type { components } from './openapi';

/** One thing that is wrong with an input; `path` is a JSON pointer into a body, or the name of a query parameter. */
export type Flaw = components['schemas']['ProblemEntry'];

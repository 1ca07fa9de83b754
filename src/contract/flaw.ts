import type { components } from './openapi';

/** One error in an input. `path` is a JSON pointer into a body, or the name of a query parameter. */
export type Flaw = components['schemas']['ProblemEntry'];

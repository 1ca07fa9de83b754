import type { ErrorObject } from 'ajv';
import type { Flaw } from './flaw';
import { FORMATS } from './formats';

/** So many are enough to see what is wrong. One publish can hold a hundred thousand malformed user properties. */
const MAX_FLAWS = 100;

/** ajv's errors in our words. Values are not quoted: a payload would be one. */
export function explain(errors: readonly ErrorObject[]): Flaw[] {
  const flaws = new Map<string, Flaw>();
  for (const error of errors) {
    const flaw = describe(error);
    if (flaw !== null) flaws.set(`${flaw.path} ${flaw.message}`, flaw);
    if (flaws.size >= MAX_FLAWS) break;
  }
  // Never none: what is not valid must not pass because its errors only repeat each other.
  return flaws.size > 0 ? [...flaws.values()] : [{ path: errors[0]?.instancePath ?? '', message: 'is not allowed' }];
}

/** null for what only repeats another error: the branches of an `anyOf` and of an `if`. */
function describe(error: ErrorObject): Flaw | null {
  const params = error.params as Record<string, unknown>;
  const at = (message: string): Flaw => ({ path: error.instancePath, message });
  // A value that is neither absent ("undefined") nor right is reported for not being right.
  if (error.keyword === 'if' || /Undefined(\/enum)?$/.test(error.schemaPath) || /\/anyOf\/\d+\//.test(error.schemaPath)) return null;
  switch (error.keyword) {
    case 'anyOf':
      return alternatives(error);
    case 'required':
      return { path: `${error.instancePath}/${escape(String(params['missingProperty']))}`, message: 'is missing' };
    case 'additionalProperties':
      return { path: `${error.instancePath}/${escape(String(params['additionalProperty']))}`, message: 'is unknown' };
    case 'format':
      return at(FORMATS[String(params['format'])]?.(String(error.data)) ?? 'is malformed');
    case 'not':
      return at('is missing (EMQX writes "undefined" for what an event does not have)');
    case 'enum':
      return at(`must be one of ${(params['allowedValues'] as unknown[]).filter((value) => value !== null).join(', ')}`);
    case 'minimum':
      return at(
        error.schemaPath.endsWith('/EventTime/minimum')
          ? 'must be in ms since 1970 (13 digits; seconds are not taken)'
          : (error.message ?? 'is wrong'),
      );
    case 'pattern':
      return at(`must match ${String(params['pattern'])}`);
    default:
      return at(error.message ?? 'is wrong');
  }
}

/** "Either this property or that" is a flaw of its own; any other `anyOf` has its reason in a branch. */
function alternatives(error: ErrorObject): Flaw | null {
  const names = (error.schema as { required?: string[] }[]).flatMap(({ required }) => required ?? []);
  return names.length === 0
    ? null
    : { path: `${error.instancePath}/${names[0] ?? ''}`, message: `is missing; ${names.join(' or ')} must be there` };
}

function escape(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

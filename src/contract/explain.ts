import type { ErrorObject } from 'ajv';
import type { Flaw } from './flaw';
import { FORMATS } from './formats';

/** The most flaws that are reported. One publish can have a hundred thousand malformed user properties. */
const MAX_FLAWS = 100;

/** Turns the errors of ajv into plain texts. They do not quote values, because a value may be a payload. */
export function explain(errors: readonly ErrorObject[]): Flaw[] {
  const flaws = new Map<string, Flaw>();
  for (const error of errors) {
    const flaw = describe(error);
    if (flaw !== null) flaws.set(`${flaw.path} ${flaw.message}`, flaw);
    if (flaws.size >= MAX_FLAWS) break;
  }
  // There is at least one flaw, because the value is not valid even if describe() skips all errors.
  return flaws.size > 0 ? [...flaws.values()] : [{ path: errors[0]?.instancePath ?? '', message: 'is not allowed' }];
}

/** @returns null for an error that only repeats another one, as the branches of an `anyOf` and of an `if` do. */
function describe(error: ErrorObject): Flaw | null {
  const params = error.params as Record<string, unknown>;
  const at = (message: string): Flaw => ({ path: error.instancePath, message });
  // For a value that may be "undefined", the error that it is not "undefined" is left out.
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
          ? 'must be in ms since 1970 (13 digits; seconds are not accepted)'
          : (error.message ?? 'is wrong'),
      );
    case 'pattern':
      return at(`must match ${String(params['pattern'])}`);
    default:
      return at(error.message ?? 'is wrong');
  }
}

/** The flaw of a value that has none of several properties. Any other `anyOf` is explained by the error of a branch. */
function alternatives(error: ErrorObject): Flaw | null {
  const names = (error.schema as { required?: string[] }[]).flatMap(({ required }) => required ?? []);
  return names.length === 0
    ? null
    : { path: `${error.instancePath}/${names[0] ?? ''}`, message: `is missing: ${names.join(' or ')} is required` };
}

function escape(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

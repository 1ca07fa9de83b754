import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020, { type Options, type ValidateFunction } from 'ajv/dist/2020';
import { parse } from 'yaml';
import type { components } from './openapi';
import type { Flaw } from './flaw';
import { explain } from './explain';
import { FORMATS } from './formats';

export type SchemaName = keyof components['schemas'];

/** @returns what is wrong; empty when nothing is. */
export type Validator = (value: unknown) => Flaw[];

/** openapi.yaml: the one source of the validators here and of the types in http/openapi.ts. */
export class Contract {
  /** As served at /openapi.yaml. */
  readonly text: string;
  readonly document: unknown;
  /** Stops at the first flaw: by far most values have none. */
  private readonly fast: Ajv2020;
  /** Finds all of them, for values that the fast one has refused. */
  private readonly thorough: Ajv2020;

  constructor(path: string) {
    this.text = readFileSync(path, 'utf8');
    this.document = parse(this.text);
    this.fast = this.ajvWith({});
    this.thorough = this.ajvWith({ allErrors: true, verbose: true });
  }

  private ajvWith(options: Options): Ajv2020 {
    const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, ...options });
    for (const [name, problem] of Object.entries(FORMATS)) ajv.addFormat(name, (text: string) => problem(text) === null);
    // To ajv a bag of schemas: an OpenAPI document itself is no JSON schema.
    ajv.addKeyword('components');
    ajv.addSchema({ $id: ID, components: { schemas: this.find('/components/schemas') } }, undefined, false, false);
    return ajv;
  }

  /** `ref` as in the document: `#/components/schemas/Event`. */
  validator(ref: string): Validator {
    return this.compile({ $ref: `${ID}${ref}` });
  }

  /** A schema whose own `$ref`s are those of the document. */
  compile(schema: object): Validator {
    const own = absolute(schema) as object;
    const isValid = this.fast.compile(own);
    let validate: ValidateFunction | undefined;
    return (value) => {
      if (isValid(value)) return NONE;
      validate ??= this.thorough.compile(own);
      // Never none: what the fast form has refused must not pass.
      return validate(value) ? [{ path: '', message: 'is not allowed' }] : explain(validate.errors ?? []);
    };
  }

  /** What a JSON pointer points at. */
  find(pointer: string): unknown {
    return pointer
      .slice(1)
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
      .reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part], this.document);
  }

  list(pointer: string): readonly string[] {
    return this.find(pointer) as string[];
  }
}

const ID = 'openapi.yaml';
const NONE: Flaw[] = [];

function absolute(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(absolute);
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [key, key === '$ref' && String(value).startsWith('#') ? `${ID}${value}` : absolute(value)]),
  );
}

/** src/events and dist/events are equally far from the root of the package. */
export const contract = new Contract(join(__dirname, '..', '..', 'openapi.yaml'));

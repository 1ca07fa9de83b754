import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020, { type Options, type ValidateFunction } from 'ajv/dist/2020';
import { parse } from 'yaml';
import type { components } from './openapi';
import type { Flaw } from './flaw';
import { explain } from './explain';
import { FORMATS } from './formats';

export type SchemaName = keyof components['schemas'];

/** @returns the flaws of the value; empty if it is valid. */
export type Validator = (value: unknown) => Flaw[];

/** openapi.yaml. The validators here and the types in contract/openapi.ts are made from it. */
export class Contract {
  /** The text that is served at /openapi.yaml. */
  readonly text: string;
  readonly document: unknown;
  /** Stops at the first flaw, because most values have none. */
  private readonly fast: Ajv2020;
  /** Finds all flaws of a value that the fast validator has rejected. */
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
    // An OpenAPI document is no JSON schema, so only its schemas are added.
    ajv.addKeyword('components');
    ajv.addSchema({ $id: ID, components: { schemas: this.find('/components/schemas') } }, undefined, false, false);
    return ajv;
  }

  /** @param ref a reference as in the document. Example: `#/components/schemas/Event`. */
  validator(ref: string): Validator {
    return this.compile({ $ref: `${ID}${ref}` });
  }

  /** Compiles a schema whose references point into the document. */
  compile(schema: object): Validator {
    const own = absolute(schema) as object;
    const isValid = this.fast.compile(own);
    let validate: ValidateFunction | undefined;
    return (value) => {
      if (isValid(value)) return NONE;
      validate ??= this.thorough.compile(own);
      // There is at least one flaw, because the fast validator has rejected the value.
      return validate(value) ? [{ path: '', message: 'is not allowed' }] : explain(validate.errors ?? []);
    };
  }

  /** The part of the document that the JSON pointer names. */
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

/** The path is right from src/contract and from dist/contract. */
export const contract = new Contract(join(__dirname, '..', '..', 'openapi.yaml'));

import { BSON, Binary, Long, ObjectId, type Document } from 'mongodb';

/** The part of MongoDB's query language that the store uses, as MongoDB's manual describes it. */

const ORDER = ['null', 'number', 'string', 'object', 'array', 'binData', 'objectId', 'bool', 'date'];

export function typeOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 'int' : 'double';
  if (value instanceof Long) return 'long';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (value instanceof Date) return 'date';
  if (value instanceof ObjectId) return 'objectId';
  if (value instanceof Binary || Buffer.isBuffer(value)) return 'binData';
  return Array.isArray(value) ? 'array' : 'object';
}

const bracketOf = (value: unknown): string => (['int', 'double', 'long'].includes(typeOf(value)) ? 'number' : typeOf(value));
/** UTF-16 and UTF-8 sort alike where there are no surrogates. */
const plain = (text: string): boolean => !/[\ud800-\udfff]/.test(text);

export function compare(a: unknown, b: unknown): number {
  const [left, right] = [bracketOf(a), bracketOf(b)];
  if (left !== right) return ORDER.indexOf(left) - ORDER.indexOf(right);
  if (left === 'null') return 0;
  if (left === 'string' && plain(a as string) && plain(b as string)) return a === b ? 0 : (a as string) < (b as string) ? -1 : 1;
  if (left === 'string') return Buffer.compare(Buffer.from(a as string), Buffer.from(b as string));
  if (left === 'objectId')
    return (a as ObjectId).toHexString() < (b as ObjectId).toHexString() ? -1 : (a as ObjectId).equals(b as ObjectId) ? 0 : 1;
  if (left === 'number' || left === 'bool' || left === 'date') return Number(a) - Number(b);
  return Buffer.compare(bytes(a), bytes(b));
}

const bytes = (value: unknown): Buffer => Buffer.from(BSON.serialize({ value }));

/** What a unique index and $in compare by. */
export const identity = (value: unknown): string =>
  typeof value === 'string'
    ? `s${value}`
    : `${bracketOf(value)}${bracketOf(value) === 'number' || value instanceof Date ? Number(value) : bytes(value).toString('base64')}`;

const OPERATORS: Readonly<Record<string, (value: unknown, operand: unknown) => boolean>> = {
  $eq: (value, operand) => compare(value, operand) === 0,
  $gt: (value, operand) => bracketOf(value) === bracketOf(operand) && compare(value, operand) > 0,
  $gte: (value, operand) => bracketOf(value) === bracketOf(operand) && compare(value, operand) >= 0,
  $lt: (value, operand) => bracketOf(value) === bracketOf(operand) && compare(value, operand) < 0,
  $lte: (value, operand) => bracketOf(value) === bracketOf(operand) && compare(value, operand) <= 0,
  $exists: (value, operand) => (value !== undefined) === operand,
  $type: (value, operand) =>
    value !== undefined && [operand].flat().some((type) => type === typeOf(value) || (type === 'number' && bracketOf(value) === type)),
};

type Test = (document: Document) => boolean;

export function compile(filter: Document): Test {
  const tests = Object.entries(filter).map(([field, condition]): Test => {
    if (field === '$or') {
      const any = (condition as Document[]).map(compile);
      return (document) => any.some((test) => test(document));
    }
    if (field.startsWith('$')) throw new Error(`unknown operator ${field}`);
    const test = compileCondition(condition);
    return (document) => test(document[field]);
  });
  return (document) => tests.every((test) => test(document));
}

function compileCondition(condition: unknown): (value: unknown) => boolean {
  if (typeOf(condition) !== 'object' || !Object.keys(condition as object).some((name) => name.startsWith('$'))) {
    return (value) => compare(value, condition) === 0;
  }
  const tests = Object.entries(condition as Document).map(([name, operand]): ((value: unknown) => boolean) => {
    if (name === '$not') {
      const test = compileCondition(operand);
      return (value) => !test(value);
    }
    if (name === '$in') {
      const wanted = new Set((operand as unknown[]).map(identity));
      return (value) => wanted.has(identity(value));
    }
    const operator = OPERATORS[name];
    if (operator === undefined) throw new Error(`unknown operator ${name}`);
    return (value) => operator(value, operand);
  });
  return (value) => tests.every((test) => test(value));
}

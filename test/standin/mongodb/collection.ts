import { ObjectId, type Document } from 'mongodb';
import { compare, compile, identity } from './query';

export class CommandError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

interface Index extends Document {
  readonly name: string;
  readonly key: Readonly<Record<string, number>>;
  readonly unique?: boolean;
  readonly sparse?: boolean;
}

/** Documents and their unique indexes. */
export class StandinCollection {
  documents: Document[] = [];
  indexes: Index[] = [{ name: '_id_', key: { _id: 1 }, unique: true }];
  private entries = new Map<string, Map<string, Document>>([['_id_', new Map()]]);

  constructor(
    private readonly namespace: string,
    readonly type = 'collection',
    readonly options: Document = {},
  ) {}

  find(filter: Document, { sort = {}, skip = 0, limit = 0, hint }: Document): Document[] {
    if (typeof hint === 'string' && !this.indexes.some(({ name }) => name === hint)) {
      throw new CommandError(
        2,
        'error processing query: planner returned error :: caused by :: hint provided does not correspond to an existing index',
      );
    }
    const found = this.documents.filter(compile(filter));
    const fields = Object.entries(sort as Record<string, number>);
    if (fields.length > 0) {
      found.sort((a, b) => fields.reduce((order, [field, direction]) => order || direction * compare(a[field], b[field]), 0));
    }
    return found.slice(Number(skip), limit ? Number(skip) + Number(limit) : undefined);
  }

  insert(document: Document): void {
    const complete = '_id' in document ? document : { _id: new ObjectId(), ...document };
    this.validate(complete);
    this.index(complete);
    this.documents.push(complete);
  }

  update(filter: Document, update: Document, { multi, upsert }: Document): { n: number; upserted: unknown } {
    const found = this.find(filter, multi === true ? {} : { limit: 1 });
    for (const document of found) {
      const changed = applied(document, update);
      this.validate(changed);
      this.unindex(document);
      try {
        this.index(changed);
      } catch (error) {
        this.index(document);
        throw error;
      }
      this.documents[this.documents.indexOf(document)] = changed;
    }
    if (found.length > 0 || upsert !== true) return { n: found.length, upserted: undefined };
    const fixed = Object.entries(filter).filter(
      ([name, value]) => !name.startsWith('$') && (typeof value !== 'object' || value instanceof ObjectId),
    );
    const inserted = {
      _id: new ObjectId(),
      ...applied(applied(Object.fromEntries(fixed), update), { $set: update['$setOnInsert'] ?? {} }),
    };
    this.insert(inserted);
    return { n: 1, upserted: inserted._id };
  }

  delete(filter: Document, limit: number): number {
    const gone = new Set(this.find(filter, { limit }));
    for (const document of gone) this.unindex(document);
    this.documents = this.documents.filter((document) => !gone.has(document));
    return gone.size;
  }

  createIndex(index: Index): void {
    const same = this.indexes.find(({ key }) => JSON.stringify(key) === JSON.stringify(index.key));
    if (same !== undefined && same.name !== index.name)
      throw new CommandError(85, `Index already exists with a different name: ${same.name}`);
    if (same !== undefined) return;
    this.indexes.push(index);
    this.entries.set(index.name, new Map());
    const before = this.indexes;
    try {
      this.indexes = [index];
      for (const document of this.documents) this.index(document);
    } catch (error) {
      this.indexes = before.filter((each) => each !== index);
      throw error;
    }
    this.indexes = before;
  }

  dropIndex(name: string): void {
    this.indexes = this.indexes.filter((index) => index.name !== name);
  }

  private validate(document: Document): void {
    const validator = this.options['validator'] as Document | undefined;
    if (validator !== undefined && !compile(validator)(document)) throw new CommandError(121, 'Document failed validation');
  }

  private index(document: Document): void {
    const added: (() => void)[] = [];
    for (const index of this.indexes.filter(({ unique }) => unique)) {
      const entry = entryOf(index, document);
      const entries = this.entries.get(index.name);
      if (entry === null || entries === undefined) continue;
      if (entries.has(entry))
        throw new CommandError(11000, `E11000 duplicate key error collection: ${this.namespace} index: ${index.name} dup key: {}`);
      added.push(() => entries.set(entry, document));
    }
    for (const add of added) add();
  }

  private unindex(document: Document): void {
    for (const index of this.indexes.filter(({ unique }) => unique)) this.entries.get(index.name)?.delete(entryOf(index, document) ?? '');
  }
}

/** A missing field counts as null, but a sparse index leaves out a document that has none of its fields. */
function entryOf({ key, sparse }: Index, document: Document): string | null {
  const names = Object.keys(key);
  if (sparse === true && names.every((name) => document[name] === undefined)) return null;
  return JSON.stringify(names.map((name) => identity(document[name])));
}

function applied(document: Document, update: Document): Document {
  const changed = { ...document, ...(update['$set'] as Document | undefined) };
  for (const name of Object.keys((update['$unset'] as Document | undefined) ?? {})) delete changed[name];
  for (const [name, value] of Object.entries((update['$max'] as Document | undefined) ?? {})) {
    if (changed[name] === undefined || compare(value, changed[name]) > 0) changed[name] = value;
  }
  return changed;
}

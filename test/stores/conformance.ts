import type { Store } from '../../src/stores/store';
import { clients } from './conformance/clients';
import { content } from './conformance/content';
import { counts } from './conformance/counts';
import { hostile } from './conformance/hostile';
import { messages } from './conformance/messages';
import { purging } from './conformance/purging';
import { refs } from './conformance/refs';
import { scale } from './conformance/scale';
import { topics } from './conformance/topics';
import { versions } from './conformance/versions';

/** How the suite reaches one database. */
export interface Harness {
  /** A new connection to the same, empty database; migrated by the suite. */
  readonly open: () => Promise<Store>;
  /** How many messages and topics "many" are; a slow server may have fewer. */
  readonly many?: number;
  /** Subscriptions are written by a statement of the operator's, which knows no times: they are never purged. */
  readonly subscriptionsStay?: boolean;
  /** The server finds what to change and changes it in two steps: conditions of writers at the same time prove nothing. */
  readonly changesInTwoSteps?: boolean;
}

/** What the parts of the suite get: the store, and names that no other test uses. */
export interface Subject {
  store: Store;
  readonly harness: Required<Harness>;
}

/** The specification of Store (src/stores/store.ts): every driver calls it in a few lines and passes all of it. */
export function conformance(name: string, harness: Harness): void {
  describe(`the store contract, ${name}`, () => {
    const subject: Subject = {
      store: undefined as unknown as Store,
      harness: { many: 10_000, subscriptionsStay: false, changesInTwoSteps: false, ...harness },
    };
    beforeAll(async () => {
      subject.store = await harness.open();
      // Two servers that start at once on an empty database.
      const other = await harness.open();
      await Promise.all([subject.store.migrate(), other.migrate()]);
      await other.close();
    }, 120_000);
    afterAll(() => subject.store.close());

    messages(subject);
    refs(subject);
    counts(subject);
    content(subject);
    topics(subject);
    clients(subject);
    versions(subject);
    purging(subject);
    hostile(subject);
    scale(subject);
  });
}

let counter = 0;

/** A topic of the test's own. */
export function uniqueTopic(): string {
  return `conformance/${process.pid}/${Date.now()}/${counter++}`;
}

import type { SharedState, Versioned } from '../../lanes/state';
import { decode, encode } from '../box/encode';
import { emptyMailbox, isIdle, type Mailbox } from '../box/mailbox';
import { MAILBOX_TTL_MS, MOST_TTL_MS } from '../times';

/** A mailbox and the version of its record; 0 if there was no record. */
export interface Loaded {
  readonly mailbox: Mailbox;
  readonly version: number;
}

/** Loads and saves mailboxes in the shared state. */
export class Boxes {
  constructor(private readonly state: Pick<SharedState, 'load' | 'save'>) {}

  /**
   * @returns the mailboxes by key. A key without a record gives an empty mailbox of the consumer, whose name is '' if
   * it is not known.
   */
  async load(keys: ReadonlyMap<string, string | null>): Promise<Map<string, Loaded>> {
    const found = await this.state.load([...keys.keys()].map(nameOf));
    return new Map([...keys].map(([key, consumer]) => [key, loadedOf(found.get(nameOf(key)), consumer)]));
  }

  /** @returns the keys of mailboxes that another process has saved meanwhile. Their records are left as they were. */
  async save(
    boxes: readonly { readonly key: string; readonly mailbox: Mailbox; readonly before: number; readonly version: number }[],
  ): Promise<Set<string>> {
    const records = boxes.map(({ key, mailbox, before, version }) => ({
      key: nameOf(key),
      value: encode(mailbox),
      before,
      version,
      ttlMs: ttlOf(mailbox),
    }));
    const refused = await this.state.save(records);
    return new Set(boxes.filter(({ key }) => refused.has(nameOf(key))).map(({ key }) => key));
  }
}

/** The mailbox of a client, for the console and the API; null if there is none. */
export async function loadMailbox(state: Pick<SharedState, 'load'>, key: string): Promise<Mailbox | null> {
  const found = (await state.load([nameOf(key)])).get(nameOf(key));
  return found === undefined ? null : decode(found.value);
}

function loadedOf(found: Versioned | undefined, consumer: string | null): Loaded {
  if (found === undefined) return { mailbox: emptyMailbox(consumer ?? ''), version: 0 };
  const mailbox = decode(found.value);
  return { mailbox: mailbox.consumer === '' ? { ...mailbox, consumer: consumer ?? '' } : mailbox, version: found.version };
}

/**
 * An empty mailbox is kept for a while, too: a process that stood still must find out that its version is an old one.
 */
function ttlOf(mailbox: Mailbox): number {
  const expiryMs = mailbox.session?.expiryMs ?? 0;
  return isIdle(mailbox) || mailbox.out.size === 0 ? MAILBOX_TTL_MS : Math.min(Math.max(MAILBOX_TTL_MS, 2 * expiryMs), MOST_TTL_MS);
}

const nameOf = (key: string): string => `mailbox:${key}`;

import { randomUUID } from 'node:crypto';
import type { SharedState } from './state';

/** How far a request of an operator is: JSON text in the shared state, so that every server process can tell. */

/** How long an outcome is kept after its last change (ms). */
export const OUTCOME_TTL_MS = 3_600_000;

export type RequestState = 'accepted' | 'running' | 'done' | 'failed';

/** How far one mailbox is with a requested delivery. */
export interface DeliveryOutcome {
  readonly clientid: string;
  readonly filter: string;
  readonly state: RequestState;
  /** Messages that were sent to EMQX for the client. */
  readonly sent: number;
  readonly detail: string;
}

/** How far a requested restore of retained messages is. */
export interface RestoreOutcome {
  readonly filter: string;
  readonly state: RequestState;
  readonly published: number;
  readonly kept: number;
  readonly failed: number;
  readonly detail: string;
}

export const newRequestId = (): string => randomUUID();

/** Whether the text has the form of newRequestId(). An operator may ask for any text. */
export function isRequestId(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
}

/** A delivery to a shared subscription may concern two mailboxes: each has a part of the outcome. */
const MOST_PARTS = 2;

export const partId = (id: string, part: number): string => `${id}.${part}`;

type Values = Pick<SharedState, 'getAll' | 'setAll'>;

export class Outcomes {
  constructor(private readonly state: Values) {}

  /** @param outcomes the outcomes by the ids of their parts (partId). */
  async noteDeliveries(outcomes: ReadonlyMap<string, DeliveryOutcome>): Promise<void> {
    const entries = [...outcomes].map(([id, outcome]) => ({ key: deliveryKey(id), value: JSON.stringify(outcome) }));
    if (entries.length > 0) await this.state.setAll(entries, OUTCOME_TTL_MS);
  }

  /** @returns the outcomes by the ids of their parts. Parts without an outcome are left out. */
  async deliveries(parts: readonly string[]): Promise<ReadonlyMap<string, DeliveryOutcome>> {
    const found = await this.state.getAll(parts.map(deliveryKey));
    return new Map(
      parts.flatMap((id) => {
        const value = found.get(deliveryKey(id));
        return value === undefined ? [] : [[id, JSON.parse(value) as DeliveryOutcome] as const];
      }),
    );
  }

  /** The outcome of all parts together; null if the request is unknown, or its outcome is no longer kept. */
  async delivery(id: string): Promise<DeliveryOutcome | null> {
    const found = await this.deliveries(Array.from({ length: MOST_PARTS }, (_, part) => partId(id, part)));
    return merged([...found.values()]);
  }

  async noteRestore(id: string, outcome: RestoreOutcome): Promise<void> {
    await this.state.setAll([{ key: restoreKey(id), value: JSON.stringify(outcome) }], OUTCOME_TTL_MS);
  }

  async restore(id: string): Promise<RestoreOutcome | null> {
    const value = (await this.state.getAll([restoreKey(id)])).get(restoreKey(id));
    return value === undefined ? null : (JSON.parse(value) as RestoreOutcome);
  }
}

/** The request is done when all parts are. Until then the state of a part that failed, or else goes on, is shown. */
function merged(parts: readonly DeliveryOutcome[]): DeliveryOutcome | null {
  const [first] = parts;
  if (first === undefined) return null;
  const order: readonly RequestState[] = ['failed', 'running', 'accepted', 'done'];
  const worst = order.flatMap((state) => parts.filter((part) => part.state === state))[0] ?? first;
  const isBegun = worst.state === 'accepted' && parts.some(({ state }) => state !== 'accepted');
  return { ...worst, state: isBegun ? 'running' : worst.state, sent: parts.reduce((sum, { sent }) => sum + sent, 0) };
}

const deliveryKey = (id: string): string => `delivery:${id}`;
const restoreKey = (id: string): string => `restore:${id}`;

import type { QoS } from '../../mqtt/message';
import { emptyMailbox, type Copy, type Mailbox } from './mailbox';

/**
 * Copies that were sent one after the other for one run and topic. They store their common fields once, so a full
 * window takes a few kilobytes.
 */
interface Group {
  readonly topic: string;
  readonly qos: QoS;
  readonly clientid: string;
  readonly filter: string;
  /** The stored id, EMQX's id, the time of sending (ms), and the sum of MISSING, READ and LAST. */
  readonly copies: [string, string | null, number, number][];
}

const [MISSING, READ, LAST] = [1, 2, 4];

type Stored = Partial<Omit<Mailbox, 'out' | 'held'>> & { readonly out?: readonly Group[]; readonly held?: readonly string[] };

/** A mailbox as JSON text. Fields that are as in an empty mailbox are left out. */
export function encode(mailbox: Mailbox): string {
  const empty = emptyMailbox(mailbox.consumer);
  const { out, held, ...rest } = mailbox;
  const changed = Object.entries(rest).filter(([key, value]) => {
    const usual = empty[key as keyof Mailbox];
    return key === 'consumer' || !(value === usual || (Array.isArray(value) && value.length === 0));
  });
  return JSON.stringify({
    ...Object.fromEntries(changed),
    ...(out.size > 0 && { out: groupsOf(out) }),
    ...(held.size > 0 && { held: [...held] }),
  });
}

export function decode(text: string): Mailbox {
  const { out = [], held = [], ...rest } = JSON.parse(text) as Stored;
  const copies = out.flatMap(({ copies: own, ...shared }) =>
    own.map(([id, emqxId, sentAt, marks]): [string, Copy] => [
      id,
      {
        ...{ ...shared, emqxId, sentAt, isMissing: (marks & MISSING) > 0 },
        ...((marks & READ) > 0 && { isRead: true }),
        ...((marks & LAST) > 0 && { isOfLast: true }),
      },
    ]),
  );
  return { ...emptyMailbox(rest.consumer ?? ''), ...rest, out: new Map(copies), held: new Set(held) };
}

/** Groups only copies that are neighbours, so that the order of sending is kept. */
function groupsOf(out: Mailbox['out']): Group[] {
  const groups: Group[] = [];
  for (const [id, { topic, qos, clientid, filter, emqxId, sentAt, isMissing, isRead, isOfLast }] of out) {
    let group = groups.at(-1);
    if (group === undefined || group.topic !== topic || group.qos !== qos || group.clientid !== clientid || group.filter !== filter) {
      groups.push((group = { topic, qos, clientid, filter, copies: [] }));
    }
    group.copies.push([id, emqxId, sentAt, (isMissing ? MISSING : 0) + (isRead === true ? READ : 0) + (isOfLast === true ? LAST : 0)]);
  }
  return groups;
}

import { keyOf, type Identity } from './message';

/** Times are ms of one clock, that of the process in which the stand-in and all clients run. */
export interface Receipt {
  readonly at: number;
  /** The subscriber's, counted from 1. */
  readonly connection: number;
  /** Sent by the server through EMQX's API; otherwise EMQX delivered it itself. */
  readonly ours: boolean;
}

/** A message as one of its readers (Audience) has it. */
export interface Reading {
  /** false: it may have been removed before the reader came (joins.ts). */
  isOwed: boolean;
  /** The first acknowledgement that reached EMQX, and the first that the server answered 202 to. */
  ackedAt: number | null;
  ackAcceptedAt: number | null;
  /** The server published it through EMQX's API, and somebody was there. */
  readonly sends: number[];
  /** By subscriber. */
  readonly receipts: Map<string, Receipt[]>;
}

/** Everything that is known of a message. */
export interface Record {
  readonly identity: Identity;
  /** EMQX's, from when it has it. */
  id: string | null;
  publishedAt: number | null;
  /** The server answered 202 to its event. */
  acceptedAt: number | null;
  /** EMQX has dropped a copy of it without telling. */
  isDropped: boolean;
  readonly readings: Map<string, Reading>;
}

/** A message that a reader has not got, or not acknowledged. */
export interface Missing {
  readonly identity: Identity;
  readonly reader: string;
}

/** The 8 KB of a client id would hide the rest. */
export const short = (text: string): string => (text.length > 80 ? `${text.slice(0, 40)}... (${text.length})` : text);

export const missingText = ({ identity, reader }: Missing): string => `${keyOf(identity)} for ${short(reader)}`;

export const newReading = (isOwed: boolean): Reading => ({ isOwed, ackedAt: null, ackAcceptedAt: null, sends: [], receipts: new Map() });

export function newRecord(identity: Identity, readers: readonly string[]): Record {
  return {
    identity,
    id: null,
    publishedAt: null,
    acceptedAt: null,
    isDropped: false,
    readings: new Map(readers.map((reader) => [reader, newReading(true)])),
  };
}

/** Those that are owed, and that the condition holds for. */
export function missing(records: Iterable<Record>, isMissing: (reading: Reading, record: Record) => boolean): Missing[] {
  return [...records].flatMap((record) =>
    [...record.readings].flatMap(([reader, reading]) =>
      reading.isOwed && isMissing(reading, record) ? [{ identity: record.identity, reader }] : [],
    ),
  );
}

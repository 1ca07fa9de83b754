import { matches } from '../../src/mqtt/topic';
import { parseSelect, type Select } from '../rules/sql';
import type { BrokerEvent } from './broker';

/** A rule of EMQX: which events it takes and what it makes of them. The SQL of the shipped files is run, not imitated. */
export class Rule {
  private readonly select: Select | null;
  private readonly sources: readonly string[];

  /** `SELECT *` over the sources where `sql` is null. */
  constructor(sql: string | null, sources: readonly string[] = []) {
    this.select = sql === null ? null : parseSelect(sql);
    this.sources = this.select?.sources ?? sources;
  }

  /** What goes to the action; null when the rule doesn't take the event, or fails on it (EMQX drops it in silence). */
  apply(event: BrokerEvent): BrokerEvent | null {
    if (!this.sources.some((source) => isOf(source, event))) return null;
    if (this.select === null) return toJson(event);
    if (!this.select.matches(event)) return null;
    try {
      return toJson(Object.fromEntries(this.select.columns.map((column) => [column.name, column.valueIn(event)])) as BrokerEvent);
    } catch {
      return null;
    }
  }
}

function isOf(source: string, event: BrokerEvent): boolean {
  if (source.startsWith('$events/')) return source.slice('$events/'.length).replace('_', '.') === event.event;
  return event.event === 'message.publish' && matches(source, String(event['topic']));
}

/** An absent column is the STRING "undefined"; bytes that are not UTF-8 are destroyed. */
function toJson(event: BrokerEvent): BrokerEvent {
  return convert(event) as BrokerEvent;
}

function convert(value: unknown): unknown {
  if (value === undefined) return 'undefined';
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, convert(each)]));
}

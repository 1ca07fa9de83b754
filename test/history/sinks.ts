import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseServiceUrl } from '../../src/config/url';
import { openHistory } from '../../src/history';
import type { HistorySink } from '../../src/history/history';
import { temporaryDirectory } from '../support/temp';

const SCHEMES = ['influxdb', 'opentsdb', 'timescale', 'clickhouse'];

/** The sink of a URL. */
export async function openSink(url: string): Promise<HistorySink> {
  const [sink] = await openHistory([parseServiceUrl(url, SCHEMES)]);
  if (sink === undefined) throw new Error('no sink');
  return sink;
}

/** Closes the sink, whatever the test does. */
export async function withSink<T>(url: string, use: (sink: HistorySink) => Promise<T>): Promise<T> {
  const sink = await openSink(url);
  try {
    return await use(sink);
  } finally {
    await sink.close();
  }
}

/** A template file for as long as it is needed. */
export async function withTemplates<T>(templates: unknown, use: (file: string) => Promise<T>): Promise<T> {
  const directory = temporaryDirectory();
  const file = join(directory.path, 'templates.json');
  writeFileSync(file, typeof templates === 'string' ? templates : JSON.stringify(templates));
  try {
    return await use(file);
  } finally {
    directory.remove();
  }
}

/** The URL with another database, port, ... */
export function changed(url: string, changes: { path?: string; port?: number; user?: string; params?: Record<string, string> }): string {
  const parts = new URL(url);
  if (changes.path !== undefined) parts.pathname = `/${changes.path}`;
  if (changes.port !== undefined) parts.port = String(changes.port);
  for (const [name, value] of Object.entries(changes.params ?? {})) parts.searchParams.set(name, value);
  // A query here is no form: a space is %20.
  const href = parts.href.replace(/\+/g, '%20');
  return changes.user === undefined ? href : href.replace(/\/\/([^@/]*@)?/, `//${changes.user}@`);
}

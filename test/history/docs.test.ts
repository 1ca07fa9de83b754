import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { renderMessage } from '../../src/history/append';
import { lineOf } from '../../src/history/influxdb/line';
import { influxPoints, parseInflux } from '../../src/history/influxdb/template';
import { openTsdbPoints, parseOpenTsdb } from '../../src/history/opentsdb/template';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { changed, withSink, withTemplates } from './sinks';

const PAGE = readFileSync(join(__dirname, '../../docs/databases/history.md'), 'utf8');

/** The examples of the page, by what stands behind their language. */
const examples = new Map([...PAGE.matchAll(/```\w+ ([\w-]+)\n(.*?)```/gs)].map(([, name = '', text = '']) => [name, text]));
const example = (name: string): string => {
  const text = examples.get(name);
  if (text === undefined) throw new Error(`no example ${name}`);
  return text;
};

const AT = 1_700_000_000_123;
const ID = `${(AT * 1_000 + 456).toString(16).padStart(16, '0').toUpperCase()}F49A0000049C0001`;
const published = (payload: string) =>
  message({ topic: 'sample', clientid: 'mqttjs_1', qos: 1, id: ID, publishReceivedAt: AT, payload: Buffer.from(payload) });

describe('docs/databases/history.md', () => {
  it('shows the points that a template for InfluxDB produces', () => {
    const rendered = renderMessage(
      published(example('influxdb-payload')),
      parseInflux(example('influxdb-template')),
      influxPoints,
      () => 1,
    );
    expect(rendered?.points.map((point) => `${lineOf(point)}\n`).join('')).toBe(example('influxdb-points'));
  });

  it('shows the points that a template for OpenTSDB produces', () => {
    const rendered = renderMessage(
      published(example('opentsdb-payload')),
      parseOpenTsdb(example('opentsdb-template')),
      openTsdbPoints,
      () => 1,
    );
    expect(rendered?.points).toEqual(JSON.parse(example('opentsdb-points')));
  });

  withBackends(['timescale'], ({ timescale }) => {
    it('shows the rows that a template for TimescaleDB produces, and a query', async () => {
      const url = await emptyDatabase(timescale, 'history_docs');
      const client = new Client({ connectionString: url.replace(/^timescale:/, 'postgres:') });
      await client.connect();
      try {
        await client.query('CREATE TABLE sensor_data (time timestamptz NOT NULL, location text NOT NULL, temperature double precision)');
        const one = published(example('timescale-payload'));
        await withTemplates(example('timescale-template'), (file) =>
          withSink(changed(url, { params: { templates: file } }), async (sink) => {
            await sink.migrate();
            expect(await sink.append([one])).toEqual([]);
          }),
        );
        const { rows } = await client.query(
          'SELECT floor(extract(epoch FROM time) * 1000)::float AS ms, location, temperature FROM sensor_data ORDER BY location',
        );
        expect(rows).toEqual(JSON.parse(example('timescale-rows')));
        await withSink(url, (sink) => sink.append([message({ topic: 'sample', payload: Buffer.from('now') })]));
        expect((await client.query(example('timescale-query'))).rows).toMatchObject([{ sender: 'publisher', payload: 'now' }]);
      } finally {
        await client.end();
      }
    });
  });

  withBackends(['clickhouse', 'clickhouse-current'], (urls) => {
    it.each(['clickhouse', 'clickhouse-current'] as const)('shows a query for %s', async (name) => {
      const { host, username, password } = new URL(urls[name]);
      const ask = async (query: string, database = 'default') => {
        const headers = { 'X-ClickHouse-User': username, 'X-ClickHouse-Key': password };
        const answer = await fetch(`http://${host}/?database=${database}&default_format=JSONEachRow`, {
          method: 'POST',
          headers,
          body: query,
        });
        const text = await answer.text();
        if (!answer.ok) throw new Error(text);
        return text;
      };
      await ask('DROP DATABASE IF EXISTS history_docs');
      await ask('CREATE DATABASE history_docs');
      await withSink(changed(urls[name], { path: 'history_docs' }), async (sink) => {
        await sink.migrate();
        expect(await sink.append([published('now')])).toEqual([]);
      });
      expect(JSON.parse(await ask(example('clickhouse-query'), 'history_docs'))).toMatchObject({ sender: 'mqttjs_1', payload: 'now' });
      await ask('DROP DATABASE history_docs');
    });
  });
});

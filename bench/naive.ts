/**
 * A simple server to compare with: express, one BullMQ job per event, one INSERT per job. The report shows its CPU and
 * rates beside the server's.
 */
import type { AddressInfo } from 'node:net';
import { Queue, Worker } from 'bullmq';
import express from 'express';
import { Redis } from 'ioredis';
import { Pool } from 'pg';
import { readEvent } from '../src/events';

const { QUEUE_URL = '', STORE_URL = '' } = process.env;
const connection = () => new Redis(QUEUE_URL, { maxRetriesPerRequest: null });
const pool = new Pool({ connectionString: STORE_URL });
const queue = new Queue('naive', { connection: connection() });
const INSERT =
  'INSERT INTO naive_msg (msgid, topic, sender, qos, payload, arrived) VALUES ($1, $2, $3, $4, $5, now()) ON CONFLICT DO NOTHING';

async function store({ data }: { data: Record<string, string> }): Promise<void> {
  await pool.query(INSERT, [data['id'], data['topic'], data['clientid'], data['qos'], Buffer.from(data['payload_base64'] ?? '', 'base64')]);
}

const app = express();
app.use(express.json());
app.post('/v1/events/message.publish', async (request, response) => {
  readEvent(request.body);
  await queue.add('event', request.body, { removeOnComplete: true });
  response.status(202).json({ accepted: 1 });
});
app.get('/waiting', async (_request, response) => {
  const { waiting = 0, active = 0 } = await queue.getJobCounts('waiting', 'active');
  response.json(waiting + active);
});

async function main(): Promise<void> {
  await pool.query(
    'CREATE TABLE IF NOT EXISTS naive_msg (msgid text PRIMARY KEY, topic text, sender text, qos int, payload bytea, arrived timestamptz)',
  );
  new Worker('naive', store, { connection: connection(), concurrency: 16 });
  const server = app.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
}

void main();

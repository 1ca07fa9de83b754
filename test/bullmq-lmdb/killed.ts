import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { createLmdbBackend } from '../../src/bullmq-lmdb';
import { Environment } from '../../src/embedded/environment';

/**
 * Adds jobs to a queue in the directory argv[2], from the number argv[3] on, and takes and completes what waits, until it is killed. Prints each thing as it is
 * confirmed: `added n`, `completed n`, and before a job is completed `completing n`.
 */
async function main(): Promise<void> {
  const factory = createLmdbBackend(await Environment.open(process.argv[2] ?? ''));
  await factory.recover();
  const queue = new Queue('lane', { connection: {} }, factory);
  const worker = new Worker(
    'lane',
    null,
    { connection: {}, autorun: false, lockDuration: 60_000, removeOnComplete: { count: 0 } },
    factory,
  );
  const say = (line: string) => process.stdout.write(`${line}\n`);
  let next = Number(process.argv[3]);

  async function produce(): Promise<void> {
    for (;;) {
      const numbers = Array.from({ length: 1 + Math.floor(Math.random() * 4) }, () => next++);
      const adds = numbers.map((n) => queue.add('job', { n }, n % 7 === 0 ? { jobId: `own-${n}` } : {}).then(() => say(`added ${n}`)));
      await Promise.all(adds);
      if (Math.random() < 0.1) await sleep(1);
    }
  }

  async function consume(): Promise<void> {
    for (let turn = 0; ; turn++) {
      const jobs = (await Promise.all(Array.from({ length: 3 }, (_, i) => worker.getNextJob(`${turn}-${i}`, { block: i === 0 })))).filter(
        (job) => job !== undefined,
      );
      await Promise.all(
        jobs.map(async (job) => {
          if (Math.random() < 0.2) return job.moveToWait(job.token ?? '');
          const { n } = job.data as { n: number };
          say(`completing ${n}`);
          await job.moveToCompleted(null, job.token ?? '', false);
          return say(`completed ${n}`);
        }),
      );
      await sleep(2);
    }
  }

  say('ready');
  await Promise.all([produce(), consume()]);
}

void main();

import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmqxStandIn } from '../standin';
import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import { audienceOf } from './audience';
import { Cast } from './cast';
import { Checker } from './checker';
import { ORDINARY } from './groups';
import { LONGEST_ID } from './hostile';
import { Purges } from './purges';
import { Random } from './random';
import { missingText } from './record';
import { resultOf, type Result } from './result';
import { pausesOf, Schedule } from './schedule';
import { open, type Setting, type SettingOptions } from './setting';
import { Stills } from './stills';
import { Traffic, type TrafficOptions } from './traffic';
import { Waits } from './waits';

export interface RoundOptions extends SettingOptions {
  readonly seed: number;
  readonly traffic: TrafficOptions;
  /** Between two faults of a group, in ms. */
  readonly pauseMs: readonly [number, number];
  readonly progress: (text: string) => void;
}

/** EMQX's own buffer; beyond it publishers wait. */
const MAX_PENDING = 4_000;
const START_MS = 60_000;
/** Longer than anything that the server waits for. What stands still for so long after the last fault waits for another subscription. */
const STILL_MS = 60_000;

/** One configuration, from its start to an empty store, with faults. */
export async function runRound(options: RoundOptions): Promise<Result> {
  const random = new Random(options.seed);
  const schedule = new Schedule();
  const { configuration } = options;
  const { policy, kinds = ORDINARY, manners = {}, isHostile = false, isBusy = false } = configuration;
  const isPubsub = policy?.mode === 'pubsub';
  const cast = Cast.of({
    kinds,
    manners,
    groups: options.traffic.groups,
    hostile: isHostile,
    busy: isBusy,
    isInbox: policy?.deliverTo === 'inbox',
  });
  const checker = new Checker(audienceOf(policy?.mode, cast), schedule.between);
  const waits = new Waits(schedule.between);
  const setting = await open(options);
  const stills =
    configuration.servers > 1
      ? new Stills(setting.targets.servers, setting.emqx.rest.server, setting.balancer, checker, waits, schedule.between)
      : null;
  let traffic: Traffic | null = null;
  const purged = () => {
    schedule.note('purge', 'what everybody had read was removed');
    traffic?.hurry();
  };
  const purges = isBusy ? new Purges(setting.serverUrls[0] ?? '', purged) : null;
  const from = performance.now();
  const timer = setInterval(() => watch(setting, checker, schedule, from, options), 1_000);
  purges?.start();
  try {
    const { emqx, targets } = setting;
    listen(emqx, checker);
    await allReady(setting);
    traffic = new Traffic(
      { emqx, checker, cast, waits, random: random.fork(), note: (group, kind) => schedule.note(group, kind) },
      options.traffic,
    );
    // In pubsub mode a reader is somebody who has subscribed.
    if (isPubsub) await traffic.allCame();
    schedule.start(
      configuration.faults,
      { ...targets, stills, droppedSilently: (message) => checker.droppedSilently(message.payload) },
      random.fork(),
      pausesOf(options.traffic, options.pauseMs),
    );
    await traffic.publishAll(() => emqx.action.pending > MAX_PENDING);
    await schedule.stop();
    const publishedMs = performance.now() - from;
    const problems: string[] = [];
    await allReady(setting).catch((error: Error) => problems.push(error.message));
    await traffic.allStay();
    const drained = await settled(checker, emqx);
    // What needs another subscription is late; what does not come even so is lost.
    const late = drained ? [] : checker.unacknowledged().map(missingText);
    if (!drained) {
      await note(setting, checker, options.logs);
      await traffic.subscribeAgain();
      await settled(checker, emqx);
    }
    // What everybody has read in pubsub mode is removed by and by.
    const left =
      isPubsub || (await until(async () => (await storedCount(setting, cast)) === 0, 20_000)) ? 0 : await storedCount(setting, cast);
    const durationMs = performance.now() - from;
    const letters = await deadLetters(setting, cast);
    return resultOf({
      options,
      checker,
      schedule,
      waits,
      stills,
      servers: targets.servers,
      emqxLost: emqx.action.lost.map(({ status, event }) => `${event.event} ${status}`),
      left,
      letters,
      late,
      problems,
      publishedMs,
      durationMs,
    });
  } finally {
    clearInterval(timer);
    purges?.stop();
    // What a fault starts again would be left behind; an error of its own was thrown above.
    await schedule.stop().catch(() => undefined);
    await traffic?.stop();
    await setting.close();
  }
}

function listen(emqx: EmqxStandIn, checker: Checker): void {
  emqx.broker.on('event', (event) => checker.fired(event));
  emqx.action.answered = (event, status) => checker.answered(event, status);
  emqx.rest.published = (entry, delivered) => {
    const { user_properties: properties = {} } = (entry['properties'] ?? {}) as { user_properties?: Record<string, string> };
    if (delivered && MSGID_PROPERTY in properties) checker.sent(String(entry['topic']), Buffer.from(String(entry['payload']), 'base64'));
  };
}

function watch({ emqx, targets }: Setting, checker: Checker, schedule: Schedule, from: number, { progress, logs }: RoundOptions): void {
  for (const server of targets.servers) server.sampleMemory();
  // The stand-in remembers everything for tests that look at it.
  for (const list of [emqx.events, emqx.action.statuses, emqx.rest.publishes, emqx.rest.subscribes]) list.length = 0;
  const seconds = Math.round((performance.now() - from) / 1000);
  const text = `${seconds} s: ${checker.records.size} published, ${checker.open} open, ${emqx.action.pending} events pending, ${schedule.total} faults`;
  appendFileSync(join(logs, 'progress.log'), `${text}; now: ${schedule.around(performance.now(), 0).join(', ')}\n`);
  if (seconds % 10 === 0) progress(text);
}

/** What the server knows of those whose messages are late, for whoever looks for the reason. */
async function note({ serverUrls, emqx }: Setting, checker: Checker, logs: string): Promise<void> {
  const parts = new Set(checker.unacknowledged().map(({ identity }) => checker.partOf(identity.topic)));
  const clientids = [...parts].flatMap(({ members }) => members).filter((clientid) => emqx.broker.sessions.has(clientid));
  const texts = ['/v1/stats', ...clientids.map((clientid) => `/v1/clients/${encodeURIComponent(clientid)}`)].map(
    async (path) => `${path}: ${await (await fetch(`${serverUrls[0]}${path}`)).text()}\n`,
  );
  appendFileSync(join(logs, 'progress.log'), (await Promise.all(texts)).join(''));
}

async function allReady({ serverUrls }: Setting): Promise<void> {
  await Promise.all(
    serverUrls.map(async (url) => {
      let state = 'no answer';
      const isReady = async () => {
        const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5_000) }).catch(() => null);
        if (answer !== null) state = await answer.text();
        return answer?.status === 200;
      };
      if (!(await until(isReady, START_MS))) throw new Error(`not ready: ${state}`);
    }),
  );
}

/** Of topics whose clients can be served. */
async function storedCount({ serverUrls }: Setting, cast: Cast): Promise<number> {
  const answer = await fetch(`${serverUrls[0]}/v1/messages?filter=%23&limit=1000`).catch(() => null);
  if (answer?.status !== 200) return -1;
  return ((await answer.json()) as { messages: { topic: string }[] }).messages.filter(({ topic }) => cast.partOf(topic).isServed).length;
}

/** Those of events of a client with an id that is too long for EMQX's API are as they must be. */
async function deadLetters({ serverUrls }: Setting, cast: Cast): Promise<string[]> {
  const answer = await fetch(`${serverUrls[0]}/v1/dead-letters?limit=100`);
  const tooLong = cast.parts.flatMap(({ members }) => members).filter((clientid) => clientid.length > LONGEST_ID);
  const { letters } = (await answer.json()) as { letters: { reason: string }[] };
  return letters.filter((letter) => !tooLong.some((clientid) => JSON.stringify(letter).includes(clientid))).map(({ reason }) => reason);
}

/** All has arrived; false: it stands still before. */
async function settled(checker: Checker, emqx: EmqxStandIn): Promise<boolean> {
  let [least, since] = [Infinity, performance.now()];
  const isStill = () => {
    const left = checker.open + emqx.pending;
    if (left < least) [least, since] = [left, performance.now()];
    return performance.now() - since > STILL_MS;
  };
  await until(() => (checker.open === 0 && emqx.pending === 0) || isStill(), Infinity);
  return checker.open === 0 && emqx.pending === 0;
}

async function until(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  for (const end = performance.now() + timeoutMs; performance.now() < end; await sleep(100)) if (await condition()) return true;
  return false;
}

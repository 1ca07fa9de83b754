import { BOTH } from './causes';
import type { Checker, Repeat } from './checker';
import { keyOf } from './message';
import type { OrderBreak } from './order';
import { missingText, short } from './record';
import type { RoundOptions } from './round';
import type { Schedule } from './schedule';
import type { MemorySample, SupervisedServer } from './servers';
import type { Still, Stills } from './stills';
import type { Waits } from './waits';

/** What a round has found. */
export interface Result {
  readonly name: string;
  readonly seed: number;
  readonly messages: number;
  readonly deliveries: number;
  readonly faults: ReadonlyMap<string, number>;
  /** What the traffic brought about. */
  readonly scenes: ReadonlyMap<string, number>;
  readonly lost: number;
  /** Came only with another subscription. */
  readonly late: number;
  readonly afterAck: number;
  /** Sent for one client while another's accepted acknowledgement waited in the queue. */
  readonly afterAnothers: number;
  readonly orderBreaks: number;
  readonly lostWithConnection: number;
  readonly duplicates: ReadonlyMap<string, number>;
  /** EMQX delivered what it held for a session, and so did the server. */
  readonly both: number;
  /** What new readers of a busy topic did not get although something older came. */
  readonly holes: number;
  /** The longest of a subscriber beside hostile ones for its first stored message, in ms; null: nobody was hostile. */
  readonly longestWaitMs: number | null;
  readonly stills: readonly Still[];
  readonly maxMegabytes: number;
  /** MB a minute, of the process that lived longest, without its first 90 s; null: none lived long enough. */
  readonly growth: number | null;
  readonly longestStopMs: number;
  readonly publishedMs: number;
  readonly durationMs: number;
  /** Why it has not passed; empty: it has. */
  readonly failures: readonly string[];
}

export interface Findings {
  readonly options: RoundOptions;
  readonly checker: Checker;
  readonly schedule: Schedule;
  readonly waits: Waits;
  readonly stills: Stills | null;
  readonly servers: readonly SupervisedServer[];
  /** Events that EMQX gave up since our answer told it to. */
  readonly emqxLost: readonly string[];
  readonly left: number;
  readonly letters: readonly string[];
  readonly late: readonly string[];
  readonly problems: readonly string[];
  readonly publishedMs: number;
  readonly durationMs: number;
}

/** What the kernel can't take back: not the pages of the embedded database's file. */
const MAX_MEGABYTES = 300;
const MAX_GROWTH = 10;
/** The server gives up after 9 s, and its process needs a moment to end on two cores with much else to do. */
const MAX_STOP_MS = 12_000;
/** A subscriber's first stored message comes in some ms; on two cores with much else to do it may take seconds. */
const MAX_WAIT_MS = 6_000;
/** Under load a process takes its time to fill the heap that it then stays with: a backlog of two minutes is no growth. */
const WARM_UP_S = 90;
const LONG_ENOUGH_S = 240;

export function resultOf(findings: Findings): Result {
  const { options, checker, schedule, waits, stills, servers, late, publishedMs, durationMs } = findings;
  const holes = checker.joins.holes();
  const lost = checker.lost();
  const memory = servers.flatMap(({ memory: processes }) => processes);
  const maxMegabytes = Math.max(0, ...memory.flat().map(({ megabytes }) => megabytes));
  const growth = growthOf(memory);
  const longestStopMs = Math.max(0, ...servers.flatMap(({ stops }) => stops));
  const result = {
    ...{
      name: options.configuration.name,
      seed: options.seed,
      messages: checker.records.size,
      faults: schedule.counts(),
      scenes: schedule.sceneCounts(),
    },
    deliveries: [...checker.records.values()]
      .flatMap(({ readings }) => [...readings.values()])
      .reduce((sum, { receipts }) => sum + [...receipts.values()].flat().length, 0),
    ...{
      lost: lost.length,
      late: late.length,
      afterAck: checker.afterAck.length,
      afterAnothers: checker.afterAnothers.length,
      orderBreaks: checker.order.breaks.length,
      lostWithConnection: checker.order.lostWithConnection,
    },
    ...{ both: checker.duplicates.get(BOTH) ?? 0, holes: holes.length, stills: stills?.all ?? [] },
    longestWaitMs: options.configuration.isHostile ? Math.max(0, ...waits.all.map(({ ms }) => ms)) : null,
    ...{ duplicates: checker.duplicates, maxMegabytes, growth, longestStopMs, publishedMs, durationMs },
  };
  return { ...result, failures: failuresOf(findings, { ...result, lostKeys: lost.map(missingText), holeKeys: holes.map(missingText) }) };
}

function failuresOf(
  findings: Findings,
  result: Omit<Result, 'failures'> & { readonly lostKeys: readonly string[]; readonly holeKeys: readonly string[] },
): string[] {
  const { checker, schedule, waits, stills, servers, emqxLost, left, letters, problems } = findings;
  const crashes = servers.flatMap((server) => server.crashes).filter(({ at }) => !schedule.happened('full disk', at));
  const unaccepted = [...checker.records.values()].filter(({ acceptedAt }) => acceptedAt === null).length;
  const groups = findings.options.configuration.faults;
  const idle = schedule.idleAmong(groups);
  const delayed = result.longestWaitMs === null ? [] : waits.all.filter(({ ms }) => ms > MAX_WAIT_MS);
  const standstill = stills?.failures() ?? [];
  const failures: [boolean, string][] = [
    [groups.length === 0, 'no fault was to happen'],
    [idle.length > 0, `no fault of these groups happened: ${idle.join(', ')}`],
    [result.lost > 0, `${result.lost} lost: ${few(result.lostKeys)}`],
    [
      result.afterAck > 0,
      `${result.afterAck} sent after an accepted acknowledgement: ${few(checker.afterAck.map((each) => repeatText(each, schedule)))}`,
    ],
    [result.orderBreaks > 0, `${result.orderBreaks} overtaken: ${few(checker.order.breaks.map((each) => breakText(each, schedule)))}`],
    [result.both > 0, `${result.both} delivered by EMQX and by us`],
    [result.holes > 0, `${result.holes} removed before a new reader had them: ${few(result.holeKeys)}`],
    [
      delayed.length > 0,
      `${delayed.length} waits of more than ${MAX_WAIT_MS} ms: ${few(delayed.map(({ subscriber, ms }) => `${short(subscriber)} ${Math.round(ms)} ms`))}`,
    ],
    [standstill.length > 0, few(standstill)],
    [groups.includes('still') && !result.stills.some(({ looked, isJudged }) => isJudged && looked > 0), 'no standstill could be judged'],
    [result.late > 0, `${result.late} needed another subscription: ${few(findings.late)}`],
    [checker.open > 0, `${checker.open} not acknowledged in the end: ${few(checker.unacknowledged().map(missingText))}`],
    [left !== 0, `${left} still stored in the end`],
    [unaccepted > 0, `${unaccepted} events were never accepted`],
    [emqxLost.length > 0, `EMQX gave up ${emqxLost.length} events: ${few(emqxLost)}`],
    [letters.length > 0, `${letters.length} dead letters: ${few(letters)}`],
    [checker.strangers.length > 0, `deliveries of nothing that was published: ${few(checker.strangers)}`],
    [
      crashes.length > 0,
      `servers exited by themselves: ${few(crashes.map(({ text, at }) => `${text} (${schedule.around(at, 5_000).join(', ')})`))}`,
    ],
    [result.longestStopMs >= MAX_STOP_MS, `a stop took ${Math.round(result.longestStopMs)} ms`],
    [result.maxMegabytes > MAX_MEGABYTES, `a server took ${Math.round(result.maxMegabytes)} MB`],
    [(result.growth ?? 0) > MAX_GROWTH, `memory grows by ${result.growth?.toFixed(1)} MB a minute`],
    ...(checker.duplicates.has('unexplained')
      ? [[true, `${checker.duplicates.get('unexplained')} duplicates are not explained`] as [boolean, string]]
      : []),
  ];
  return [...problems, ...failures.flatMap(([failed, text]) => (failed ? [text] : []))];
}

function few(items: readonly string[]): string {
  return `${items.slice(0, 5).join('; ')}${items.length > 5 ? '; ...' : ''}`;
}

function repeatText({ identity, afterMs, at }: Repeat, schedule: Schedule): string {
  return `${keyOf(identity)} ${afterMs.toFixed(1)} ms after (${schedule.around(at, 20_000).join(', ')})`;
}

function breakText({ subscriber, identity, overtakenBy, at }: OrderBreak, schedule: Schedule): string {
  return `${keyOf(identity)} by ${overtakenBy} at ${subscriber} (${schedule.around(at, 20_000).join(', ')})`;
}

/** The slope of a line through the samples (least squares). */
function growthOf(processes: readonly (readonly MemorySample[])[]): number | null {
  const samples = [...processes].sort((a, b) => b.length - a.length)[0]?.filter(({ age }) => age > WARM_UP_S) ?? [];
  if ((samples.at(-1)?.age ?? 0) < LONG_ENOUGH_S) return null;
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [age, megabytes] = [mean(samples.map((sample) => sample.age)), mean(samples.map((sample) => sample.megabytes))];
  const covariance = mean(samples.map((sample) => (sample.age - age) * (sample.megabytes - megabytes)));
  return (covariance / mean(samples.map((sample) => (sample.age - age) ** 2))) * 60;
}

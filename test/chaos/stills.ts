import type { Server } from 'node:http';
import type { Balancer } from './balancer';
import type { Checker } from './checker';
import type { FaultBetween } from './causes';
import { stopWhoDelivers } from './delivering';
import type { SupervisedServer } from './servers';
import type { Waits } from './waits';

/** The balancer's health check finds out. ms. */
const NOTICED_MS = 1_500;
/** A job's lock, and the look for those whose lock is over: from then on the others do everything. ms. */
const TAKEN_OVER_MS = 12_000;
/** What the others accepted in the first moments of the standstill is asked for in the end. */
const SAMPLE = { ms: 1_000, most: 20 } as const;
const ANSWER_MS = 2_000;
/** A subscriber's first stored message takes some ms; with the lock's end in between not longer. */
const PATIENCE_MS = 2_000;

/** One standstill, as it was for the others. */
export interface Still {
  readonly server: string;
  readonly from: number;
  /** Messages that the others accepted as it began: how many were looked at, and how many of them nobody had stored in the end. */
  readonly looked: number;
  readonly notStored: number;
  /** Deliveries in its last seconds, when all of its work must have been taken over. */
  readonly sentLate: number;
  /** Subscribers for whom something was stored and who had waited for seconds in the end. */
  readonly waiting: number;
  /** The store or the queue was broken, too: it says nothing. */
  readonly isJudged: boolean;
  /** EMQX's API was well: whoever took over can deliver. */
  readonly canSend: boolean;
}

/** Processes that stand still for longer than a lock while the others go on (promise 21), and whether the others take over. */
export class Stills {
  readonly all: Still[] = [];

  constructor(
    private readonly servers: readonly SupervisedServer[],
    /** EMQX's. */
    private readonly api: Server,
    private readonly balancer: Balancer,
    private readonly checker: Checker,
    private readonly waits: Waits,
    private readonly faultBetween: FaultBetween,
    /** How long it waits for somebody who delivers. ms. */
    private readonly lookMs = 5_000,
  ) {}

  /** Whoever delivers something stands still, in the middle of it; otherwise the given one. */
  async happen(anyone: SupervisedServer, ms: number): Promise<void> {
    let standing: Promise<void> | null = null;
    const delivering = await stopWhoDelivers(this.api, this.servers, this.lookMs, (server) => (standing = this.stand(server, ms)));
    if (delivering === null) standing = this.stand(anyone, ms);
    await standing;
  }

  private async stand(server: SupervisedServer, ms: number): Promise<void> {
    const from = performance.now();
    const notice = setTimeout(() => this.balancer.avoid(server.port), NOTICED_MS);
    let sentBefore = this.checker.sendCount;
    const late = setTimeout(() => (sentBefore = this.checker.sendCount), TAKEN_OVER_MS);
    try {
      await server.freeze(ms, () => this.judge(server, from, () => this.checker.sendCount - sentBefore));
    } finally {
      clearTimeout(notice);
      clearTimeout(late);
      this.balancer.readmit(server.port);
    }
  }

  private async judge(server: SupervisedServer, from: number, sentLate: () => number): Promise<void> {
    const others = this.servers.filter((each) => each !== server);
    const sample = this.checker.acceptedBetween(from, from + SAMPLE.ms).slice(0, SAMPLE.most);
    const found = await Promise.all(sample.map((record) => isStored(others, record.id ?? '')));
    // Whatever has been acknowledged was stored, and may be gone.
    const notStored = sample.filter((record, i) => !found[i] && !this.checker.isAcknowledged(record)).length;
    const sides = this.faultBetween(from, performance.now());
    this.all.push({
      server: server.name,
      from,
      looked: sample.length,
      notStored,
      sentLate: sentLate(),
      waiting: this.waits.longerThan(PATIENCE_MS, performance.now()),
      isJudged: !sides.has('database'),
      canSend: !sides.has('emqx'),
    });
  }

  /** Why the others did not take over. */
  failures(): string[] {
    return this.all.flatMap(({ server, looked, notStored, sentLate, waiting, isJudged, canSend }) => {
      if (!isJudged) return [];
      if (notStored > 0)
        return [`${server} stood still, and ${notStored} of ${looked} messages that the others had accepted were not stored`];
      return canSend && sentLate === 0 && waiting > 0
        ? [`${server} stood still, and nobody delivered anything: ${waiting} subscribers waited`]
        : [];
    });
  }
}

async function isStored(servers: readonly SupervisedServer[], id: string): Promise<boolean> {
  const answers = servers.map(async ({ url }) => {
    // A server that is away too says nothing.
    const answer = await fetch(`${url}/v1/messages/${id}`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
    return answer?.status === 200;
  });
  return (await Promise.all(answers)).includes(true);
}

import type { Fact } from '../../../src/mailbox/box/fact';
import type { Mailbox } from '../../../src/mailbox/box/mailbox';
import { NOW } from './build';

/** For a look at a counterexample: what a mailbox learnt, one line for each fact (BOX_TRACE=1). */
export function traced(now: number, fact: Fact, { session, runs, out, again, held, ...rest }: Mailbox): void {
  if (process.env['BOX_TRACE'] === undefined) return;
  const relative = (value: unknown): string =>
    JSON.stringify(value)
      .replace(/1800000\d{6}/g, (time) => `+${Number(time) - NOW}`)
      .replace(/000665172\w{23}/g, (id) => `#${Number(BigInt(`0x${id.slice(0, 16)}`) / 1000n) - NOW}`);
  const { consumer: _, left: __, ...times } = rest;
  process.stdout.write(
    `${now - NOW} ${relative(fact)}\n   => ${relative({ session, runs: runs.map(({ at, requestedAt, filter, cursor, lookAt, behind }) => ({ filter, at, requestedAt, cursor, lookAt, behind })), out: [...out.keys()], again: again.map(({ id }) => id), held: [...held], ...times })}\n`,
  );
}

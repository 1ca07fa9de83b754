import { createMetrics } from '../../src/base/metrics';
import { EventLag } from '../../src/mailbox/event-lag';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import * as fc from 'fast-check';
import { createListener } from '../../src/door/listener';
import { createLogger } from '../../src/base/log';
import { Ingest } from '../../src/door/ingest';
import { Signer } from '../../src/mailbox/signature';
import { Fakes } from '../http/fakes';
import { policy } from '../support/policies';
import { cases } from './cases';
import { Target } from './target';

const CASES = 2_000;

/** The short form of `npm run fuzz`: everything up to the queue. The long form has the whole server, and looks at its memory. */
test(`${CASES} fuzzed requests to /v1/events: no 500, no 503, nothing undocumented, nothing unhandled`, async () => {
  const fakes = new Fakes();
  const ingest = new Ingest(
    { put: async (item) => void JSON.stringify(item) },
    [policy({ retain: 'store' })],
    new Signer('key'),
    { note: async () => undefined, forget: async () => undefined },
    new EventLag(),
    createMetrics(),
  );
  fakes.queueing = () => ingest.accept(fakes.accepted.splice(0));
  const server = createListener(fakes.app(), { tls: null, log: createLogger({ level: 'silent' }) });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const target = new Target(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const statuses = new Map<number, number>();
  const check = async (one: Parameters<Target['send']>[0]) => {
    const answer = await target.send(one);
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    const flaw = target.flawOf(answer, one.path);
    if (flaw !== null) throw new Error(flaw);
    fakes.recorded.splice(0);
  };
  try {
    await fc.assert(fc.asyncProperty(cases, check), { numRuns: CASES });
    // The cases reach both sides of the door.
    expect(statuses.get(202)).toBeGreaterThan(CASES / 20);
    expect(statuses.get(400)).toBeGreaterThan(CASES / 20);
    expect(fakes.lines).toEqual([]);
  } finally {
    target.close();
    server.closeAllConnections();
    server.close();
  }
}, 60_000);

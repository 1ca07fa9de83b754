import type { Result } from './result';

const HEAD = [
  'configuration',
  'seed',
  'messages',
  'faults',
  'lost',
  'after an accepted ack',
  "after another's",
  'out of order',
  'EMQX and we',
  'holes',
  'longest wait',
  'duplicates',
  'max RSS',
  'growth',
  'longest stop',
  'duration',
  '',
];

const sum = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((total, count) => total + count, 0);

/** As Markdown. */
export function table(results: readonly Result[]): string {
  const rows = results.map((result) => [
    ...[
      result.name,
      result.seed,
      result.messages,
      sum(result.faults),
      result.lost,
      result.afterAck,
      result.afterAnothers,
      result.orderBreaks,
      result.both,
      result.holes,
      result.longestWaitMs === null ? '-' : `${Math.round(result.longestWaitMs)} ms`,
      sum(result.duplicates),
    ].map(String),
    `${Math.round(result.maxMegabytes)} MB`,
    result.growth === null ? '-' : `${result.growth.toFixed(1)} MB/min`,
    `${(result.longestStopMs / 1000).toFixed(1)} s`,
    `${Math.round(result.durationMs / 1000)} s`,
    result.failures.length === 0 ? 'passed' : 'FAILED',
  ]);
  return [HEAD, HEAD.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** What the table has no room for. */
export function details({ name, faults, scenes, stills, deliveries, duplicates, lostWithConnection, failures }: Result): string {
  const list = (counts: ReadonlyMap<string, number>) =>
    [...counts]
      .sort(([, a], [, b]) => b - a)
      .map(([what, count]) => `${count} × ${what}`)
      .join(', ') || 'none';
  const standstills = stills.map(
    ({ server, looked, notStored, sentLate, waiting }) =>
      `${server} (${looked} looked at, ${notStored} not stored, ${sentLate} sent in its last seconds, ${waiting} subscribers waiting)`,
  );
  return [
    `${name}: faults: ${list(faults)}; scenes: ${list(scenes)}`,
    ...(standstills.length > 0 ? [`  stood still: ${standstills.join(', ')}`] : []),
    `  ${deliveries} deliveries; duplicates: ${list(duplicates)}; repeated behind later ones after a connection broke: ${lostWithConnection}`,
    ...failures.map((failure) => `  FAILED: ${failure}`),
  ].join('\n');
}

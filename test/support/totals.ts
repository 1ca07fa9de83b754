import { backendsDown } from './backends';

/** Jest's totals say how many tests were skipped. This line, right behind them, says which backends were missing: probe.ts has said it far above. */
export default function totals(): void {
  const down = backendsDown();
  if (down.length === 0) return;
  const fate =
    (process.env['REQUIRE_BACKENDS'] ?? '') === '' ? 'were skipped' : 'were skipped, or failed where REQUIRE_BACKENDS names the backend';
  process.stderr.write(`${down.length} backends are not reachable, so their tests ${fate}: ${down.join(', ')}\n`);
}

import { jsonOf } from '../../src/doctor';
import { ok, problem, warning } from '../../src/doctor/finding';
import { temporaryDirectory } from '../support/temp';
import { run } from './shell';

describe('doctor --json', () => {
  it('has stable keys, and ok is true without a problem', () => {
    expect(JSON.parse(jsonOf([ok('a', 'fine'), warning('b', 'so so', 'mend it')]))).toEqual({
      findings: [
        { name: 'a', verdict: 'ok', detail: 'fine', advice: null },
        { name: 'b', verdict: 'warning', detail: 'so so', advice: 'mend it' },
      ],
      ok: true,
    });
    expect(JSON.parse(jsonOf([problem('c', 'broken', 'mend it')]))).toMatchObject({ ok: false });
  });

  it('is the only output on stdout, and exits with 1 on a problem', async () => {
    const directory = temporaryDirectory();
    const { code, stdout, stderr } = await run(['doctor', '--json'], { DATA_DIR: directory.path, INGEST_TOKEN: 'hunter2', STORE_ULR: 'x' });
    directory.remove();
    expect([code, stderr]).toEqual([1, '']);
    const { findings, ok: isOk } = JSON.parse(stdout) as { findings: Record<string, unknown>[]; ok: boolean };
    expect(isOk).toBe(false);
    expect(findings.map(({ name, verdict }) => `${String(verdict)} ${String(name)}`)).toEqual(
      expect.arrayContaining(['problem settings', 'warning STORE_ULR', 'warning INGEST_TOKEN', 'ok queue', 'problem store']),
    );
    for (const finding of findings) expect(Object.keys(finding)).toEqual(['name', 'verdict', 'detail', 'advice']);
    expect(stdout).not.toContain('hunter2');
  });
});

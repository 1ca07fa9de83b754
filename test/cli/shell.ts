import { runCommandLine } from '../../src/cli/run';
import { Shell } from '../../src/cli/shell';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command line in this process. */
export async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  let [stdout, stderr] = ['', ''];
  const shell = new Shell(
    env,
    (text) => (stdout += text),
    (text) => (stderr += text),
  );
  return { code: await runCommandLine(args, shell), stdout, stderr };
}

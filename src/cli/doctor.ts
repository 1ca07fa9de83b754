import { createLogger } from '../base/log';
import type { Finding } from '../doctor';
import { settingWarnings } from '../ops/setting-warnings';
import { EXIT, type Command } from './command';

export const doctor: Command = {
  name: 'doctor',
  summary: 'Check settings, databases, EMQX and its rules.',
  usage: ['[--json]'],
  description: [
    'Checks the settings, the queue, the store, the histories, EMQX, its clock and its rules. Each finding is one line:',
    'a verdict (ok, warning, problem), what it is about, what was found, and behind the arrow what to do.',
    'The doctor changes nothing but for one message in the store, which it deletes again. The server may run meanwhile.',
  ],
  positionals: { least: 0, most: 0 },
  options: [
    {
      name: 'json',
      help: [
        'Print one JSON object: {"findings": [{"name", "verdict", "detail", "advice"}], "ok"}.',
        'advice is null when there is nothing to do. ok is false when a finding is a problem.',
      ],
    },
  ],
  examples: [
    { command: 'emqx-offline-store doctor', effect: 'Prints a line for each finding.' },
    {
      command: 'emqx-offline-store doctor --json | jq -r \'.findings[] | select(.verdict == "problem") | .advice\'',
      effect: 'Prints what to do about each problem.',
    },
  ],
  exitCodes: [
    { code: EXIT.done, meaning: 'No finding is a problem. There may be warnings.' },
    { code: EXIT.failed, meaning: 'At least one finding is a problem.' },
  ],
  settings: ['all settings of the server'],
  async run(given, shell) {
    const config = shell.configuration();
    const { diagnose, lineOf, jsonOf } = await import('../doctor/index.js');
    const findings: Finding[] = [];
    for await (const finding of diagnose(config, createLogger({ level: 'silent' }), settingWarnings(config, shell.env))) {
      findings.push(finding);
      if (!given.has('json')) shell.print(lineOf(finding));
    }
    if (given.has('json')) shell.print(jsonOf(findings));
    return findings.some(({ verdict }) => verdict === 'problem') ? EXIT.failed : EXIT.done;
  },
};

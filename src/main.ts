#!/usr/bin/env node
import { runCommandLine } from './cli/run';
import { Shell } from './cli/shell';

const shell = Shell.ofProcess();

// Node itself would print the error with all that hangs on it, a password of a driver's command too.
process.on('uncaughtException', (error) => {
  shell.log.fatal({ err: error }, 'unexpected error: the process ends');
  process.exit(1);
});

void runCommandLine(process.argv.slice(2), shell).then((code) => {
  if (code === null) return;
  process.exitCode = code;
  // What a failed command has opened must not keep the process.
  if (code !== 0) process.exit();
});

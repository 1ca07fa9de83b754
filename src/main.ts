#!/usr/bin/env node
import { runCommandLine } from './cli/run';
import { Shell } from './cli/shell';

const shell = Shell.ofProcess();

// The error is logged here, because Node would print all its properties. They may contain a password of a driver's
// command.
process.on('uncaughtException', (error) => {
  shell.log.fatal({ err: error }, 'unexpected error: the process ends');
  process.exit(1);
});

void runCommandLine(process.argv.slice(2), shell).then((code) => {
  if (code === null) return;
  process.exitCode = code;
  // A failed command may have open connections, which would keep the process running.
  if (code !== 0) process.exit();
});

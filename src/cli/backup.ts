import { resolve } from 'node:path';
import { backUp } from '../embedded/backup';
import { EXIT, type Command } from './command';

export const backup: Command = {
  name: 'backup',
  summary: 'Copy the embedded database to a file. The server may run.',
  usage: ['FILE'],
  description: [
    'Copies the embedded database in DATA_DIR, as it is at this moment, to a new file. The server may run meanwhile.',
    'To restore it, stop the server and put the file into an empty DATA_DIR as data.mdb.',
  ],
  positionals: { least: 1, most: 1 },
  options: [],
  examples: [
    {
      command: 'DATA_DIR=/var/lib/offline emqx-offline-store backup /backup/offline.mdb',
      effect: 'Writes the copy, and says where it is.',
    },
  ],
  exitCodes: [
    { code: EXIT.done, meaning: 'The copy is complete.' },
    { code: EXIT.failed, meaning: 'The copy failed. The message says why.' },
  ],
  settings: ['DATA_DIR', 'CONFIG_FILE'],
  async run({ positionals: [target = ''] }, shell) {
    const { dataDir } = shell.configuration();
    await backUp(dataDir, target);
    shell.print(`${resolve(target)} has the embedded database in ${resolve(dataDir)}`);
    return EXIT.done;
  },
};

import { backup } from './backup';
import type { Command } from './command';
import { doctor } from './doctor';
import { migrate } from './migrate';
import { rules } from './rules';
import { serve } from './serve';

/** All commands, as the help lists them. */
export const COMMANDS: readonly Command[] = [serve, migrate, backup, doctor, rules];

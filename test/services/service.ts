import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A real server that the tests use; each file of this folder describes one. */
export interface Service {
  readonly name: string;
  /** What the tests find it by: environment variables and URLs. */
  readonly variables: Readonly<Record<string, string>>;
  /** Gets its software; quick where it is there. */
  install(): Promise<void>;
  /** Starts what is not running, and sets up what the URL names. */
  start(): Promise<void>;
  /** One real request; throws while the server does not answer it. Ending is the same for all: see processes.ts. */
  check(): Promise<void>;
}

const DEFAULT_PORTS = 18_000;

/** All ports lie between this number and 999 above it. Another number is another, separate set of servers. */
export const PORTS = Number(process.env['TEST_SERVICES_PORTS'] ?? DEFAULT_PORTS);

/** Everybody's on this machine. */
export const IS_DEFAULT_SET = PORTS === DEFAULT_PORTS;

/** Data, logs and pid files. Outside of the repository: servers that run as another user must get in. */
export const DIRECTORY = join(tmpdir(), `emqx-offline-store-services${IS_DEFAULT_SET ? '' : `-${PORTS}`}`);

/** Software that no package manager keeps for us; shared by all sets. */
export const SOFTWARE = join(tmpdir(), 'emqx-offline-store-software');

export const HOST = '127.0.0.1';

/** A server that takes connections may need so long for its first answers, while a busy machine starts all the others (ms). */
export const SETUP_MS = 60_000;

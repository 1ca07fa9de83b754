import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { text } from 'node:stream/consumers';
import type { Config } from '../config/config';
import { installCommand } from '../ops/rules-text';
import { REFUSED_TOKENS } from '../ops/status';
import { problem, type Finding } from './finding';

const TIMEOUT_MS = 5_000;

export interface Readiness {
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

export function readyzUrl({ host, port, tls }: Config): string {
  return `${tls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}/readyz`;
}

/**
 * Gets /readyz of the server that runs with these settings. The server's certificate is not verified, because it may be
 * for another name, which EMQX uses.
 */
export async function readinessOf(config: Config): Promise<Readiness> {
  const url = readyzUrl(config);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const request = url.startsWith('https:') ? httpsGet(url, { signal, rejectUnauthorized: false }) : httpGet(url, { signal });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return JSON.parse(await text(response)) as Readiness;
}

/**
 * Asks the running server about rejected events. Without an answer there is no finding, because the doctor may be run
 * before the server.
 */
export async function checkOwnServer(config: Config): Promise<Finding[]> {
  const answer = await readinessOf(config).catch(() => null);
  const refused = answer?.checks?.find(({ name }) => name === REFUSED_TOKENS);
  return refused === undefined ? [] : [problem('events', refused.detail, installCommand(config))];
}

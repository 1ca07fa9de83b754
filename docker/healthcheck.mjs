/**
 * Exits with 0 when the server of this container answers 200 on /healthz, and else with 1 and the reason. It finds the server as the server
 * finds itself: by HOST, PORT and TLS_CERT_FILE, from the environment or from CONFIG_FILE.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parse } from 'yaml';

const TIMEOUT_MS = 3_000;

const { CONFIG_FILE: file = '' } = process.env;
const written = file === '' ? {} : (parse(readFileSync(file, 'utf8')) ?? {});
/** An empty variable counts as not set, as for the server. */
const setting = (key) => process.env[key] || written[key];

/** A server that listens on every interface also listens on the loopback address. */
const LOOPBACK = { '0.0.0.0': '127.0.0.1', '::': '::1', '0:0:0:0:0:0:0:0': '::1' };
const bare = String(setting('HOST') ?? '127.0.0.1').replace(/^\[(.*)\]$/, '$1');
const options = {
  host: LOOPBACK[bare] ?? bare,
  port: Number(setting('PORT') ?? 8480),
  path: '/healthz',
  timeout: TIMEOUT_MS,
  // The certificate names the server's public address, not this one.
  rejectUnauthorized: false,
};

const fail = (reason) => {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
};
const { get } = setting('TLS_CERT_FILE') === undefined ? http : https;
const request = get(options, ({ statusCode }) => (statusCode === 200 ? process.exit(0) : fail(`/healthz answers ${statusCode}`)));
request.on('timeout', () => fail(`/healthz does not answer within ${TIMEOUT_MS} ms`));
request.on('error', ({ message }) => fail(message));

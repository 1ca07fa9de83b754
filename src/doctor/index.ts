import { access, constants } from 'node:fs/promises';
import { openBackends, type Backends } from '../server/backends';
import type { Config } from '../config/config';
import { oldFormat } from '../embedded/old-format';
import { openEmqx } from '../emqx/open';
import { errorText, SettingError } from '../base/errors';
import type { Logger } from '../base/log';
import type { SettingWarning } from '../ops/setting-warnings';
import { REFUSED_TOKENS } from '../ops/status';
import { checkBroker } from './broker';
import { checkDatabases } from './databases';
import { checkFiles } from './files';
import { ok, problem, type Finding } from './finding';
import { checkOwnServer, readinessOf, readyzUrl } from './own-server';
import { checkSettings } from './settings';

export { jsonOf, lineOf, type Finding } from './finding';

const TIMEOUT_MS = 5_000;

/**
 * Checks everything that the server needs. The checks change nothing, except that they write a message to the store and
 * delete it again.
 */
export async function* diagnose(config: Config, log: Logger, warnings: readonly SettingWarning[] = []): AsyncGenerator<Finding> {
  yield* checkSettings(config, warnings);
  yield* checkBackends(config, log);
  yield* await checkOwnServer(config);
  if (config.emqx.credentials === null) return;
  const emqx = openEmqx(config.emqx.version, {
    url: config.emqx.url,
    ca: config.emqx.ca,
    ...config.emqx.credentials,
    timeoutMs: TIMEOUT_MS,
    backoff: { retries: 0 },
  });
  try {
    yield* checkBroker(emqx, config);
  } finally {
    await emqx.close();
  }
}

async function* checkBackends(config: Config, log: Logger): AsyncGenerator<Finding> {
  const backends = await opened(config, log);
  if ('error' in backends) {
    // If DATA_DIR can't be read, the error says so, and its files are not checked.
    const isReadable = await access(config.dataDir, constants.R_OK | constants.X_OK).then(
      () => true,
      () => false,
    );
    const old = isReadable ? oldFormat(config.dataDir) : null;
    if (old !== null) return yield problem('embedded', old.text, old.remedy);
    yield* await askServer(config, backends.error);
    if (isReadable) yield* await checkFiles(config.dataDir, null);
    return;
  }
  try {
    yield* checkDatabases(backends, config.store);
    if (backends.environment !== null) yield* await checkFiles(config.dataDir, backends.environment);
  } finally {
    await backends.close();
  }
}

/** Opens the databases. The embedded database cannot be opened while a running server uses it. */
async function opened(config: Config, log: Logger): Promise<Backends | { readonly error: SettingError }> {
  try {
    return await openBackends(config, log);
  } catch (error) {
    if (error instanceof SettingError && error.key === 'DATA_DIR') return { error };
    throw error;
  }
}

async function askServer(config: Config, { message }: SettingError): Promise<Finding[]> {
  try {
    const { checks } = await readinessOf(config);
    const own = checks.filter(({ name }) => name !== 'emqx' && name !== REFUSED_TOKENS);
    return own.map(({ name, ok: isOk, detail }) =>
      isOk ? ok(name, `${detail} (says the running server)`) : problem(name, detail, "see the server's log"),
    );
  } catch (error) {
    return [
      problem(
        'embedded',
        `${message}; and ${readyzUrl(config)} does not answer: ${errorText(error)}`,
        'stop that process, or set HOST and PORT to the address that it listens on',
      ),
    ];
  }
}

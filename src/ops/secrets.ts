import { isSecretParam, type ServiceUrl } from '../config/url';
import type { Config } from '../config/config';

const MASK = '***';
/** Shorter texts are not hidden, because they occur in many other words. */
const MIN_LENGTH = 4;

/**
 * Removes the operator's secrets from the log, from /readyz and from the output of commands. Texts from elsewhere may
 * contain them. Example: the error of Redis for an unknown command repeats the arguments, and with AUTH these are the
 * password.
 */
export class Secrets {
  private spellings: readonly string[] = [];

  /**
   * Learns the secrets of the configuration, and of other URLs that a command was given. A password that is also the
   * name of a user, host or database is not hidden, because that would hide these names too.
   */
  learn(config: Config, others: readonly ServiceUrl[] = []): this {
    const { ingestToken, previousIngestToken, adminToken, readToken, signingKey, emqx, store, queue, history } = config;
    const urls = [store, queue, ...history, ...others];
    const known = new Set(urls.flatMap(namesOf));
    const values = [
      ingestToken,
      previousIngestToken,
      adminToken,
      readToken,
      signingKey,
      emqx.credentials?.apiSecret,
      config.tls?.key,
      ...urls.flatMap(secretsOf),
    ];
    const secrets = values.filter((value): value is string => typeof value === 'string' && value.length >= MIN_LENGTH && !known.has(value));
    // The longest spelling is replaced first, because one may be a part of another.
    this.spellings = [...new Set(secrets.flatMap(spellingsOf))].sort((a, b) => b.length - a.length);
    return this;
  }

  hide(text: string): string {
    return this.spellings.reduce((hidden, spelling) => hidden.replaceAll(spelling, MASK), text);
  }
}

function secretsOf({ password, params }: ServiceUrl): (string | null)[] {
  return [password, ...Object.entries(params).flatMap(([name, value]) => (isSecretParam(name) ? [value] : []))];
}

function namesOf({ scheme, user, path, hosts }: ServiceUrl): string[] {
  return [scheme, user ?? '', path, ...hosts.map(({ host }) => host)];
}

/** The secret as it is, and as it is written in JSON and in a URL. */
function spellingsOf(secret: string): string[] {
  return [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), encodeURI(secret)];
}

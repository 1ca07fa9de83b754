import { isSecretParam, type ServiceUrl } from '../config/url';
import type { Config } from '../config/config';

const MASK = '***';
/** Anything shorter is no secret, and would be found everywhere. */
const MIN_LENGTH = 4;

/**
 * The last line of defence: what the operator keeps secret is taken out of every line of the log, of /readyz and of what a command
 * prints, whoever quoted it. Redis, for one, answers a command that it does not know with its arguments, the password of AUTH too.
 */
export class Secrets {
  private spellings: readonly string[] = [];

  /** Those of the configuration, and of other URLs that a command is given; a password that is also the name of a user, host or database is no secret, and hidden would hide much else. */
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
    // The longest first: one may be a part of another.
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

/** As it is, as it stands in JSON, and in a URL. */
function spellingsOf(secret: string): string[] {
  return [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), encodeURI(secret)];
}

import type { Config } from '../config/config';
import { unknownNames } from '../config/environment-names';
import { covers } from '../policies/overlap';

/** A warning about a setting that is valid but probably a mistake. */
export interface SettingWarning {
  /** The name of the setting, or the policy. */
  readonly about: string;
  readonly text: string;
  readonly advice: string;
}

/** Tokens with fewer characters than this can be guessed. */
const LEAST_TOKEN_LENGTH = 16;

/** The warnings that the server logs at its start. The doctor shows them too. */
export function settingWarnings(config: Config, env: NodeJS.ProcessEnv): SettingWarning[] {
  return [...nameWarnings(env), ...tokenWarnings(config), ...policyWarnings(config)];
}

function nameWarnings(env: NodeJS.ProcessEnv): SettingWarning[] {
  return unknownNames(env).map(({ name, known }) => ({
    about: name,
    text: `is in the environment and is not a setting: the server ignores it`,
    advice: `did you mean ${known}?`,
  }));
}

function tokenWarnings(config: Config): SettingWarning[] {
  const tokens = tokensOf(config);
  const equal = tokens.flatMap(([key, token], i) => {
    const other = tokens.slice(0, i).find(([, value]) => value === token);
    if (other === undefined) return [];
    const text = `is equal to ${other[0]}: a client that has one of them has the rights of both`;
    return [{ about: key, text, advice: 'give each its own random value' }];
  });
  const short = tokens
    .filter(([, token]) => token.length < LEAST_TOKEN_LENGTH)
    .map(([about, { length }]) => ({
      about,
      text: `has ${length} ${length === 1 ? 'character' : 'characters'}, which can be guessed`,
      advice: `use at least ${LEAST_TOKEN_LENGTH} random characters, for example from: openssl rand -hex 32`,
    }));
  return [...equal, ...short];
}

function tokensOf({ ingestToken, previousIngestToken, adminToken, readToken }: Config): (readonly [string, string])[] {
  const tokens: readonly (readonly [string, string | null])[] = [
    ['INGEST_TOKEN', ingestToken],
    ['INGEST_TOKEN_PREVIOUS', previousIngestToken],
    ['ADMIN_TOKEN', adminToken],
    ['READ_TOKEN', readToken],
  ];
  return tokens.filter((each): each is readonly [string, string] => each[1] !== null);
}

/** Finds policies that are never used, because an earlier policy matches all of their topics. */
function policyWarnings({ policies }: Config): SettingWarning[] {
  return policies.flatMap(({ filter }, i) => {
    const hider = policies.slice(0, i).find((earlier) => covers(earlier.filter, filter));
    if (hider === undefined) return [];
    return [
      {
        about: `policy ${filter}`,
        text: `is never used: the policy ${hider.filter} comes before it and matches all of its topics`,
        advice: `put the policy ${filter} before the policy ${hider.filter}`,
      },
    ];
  });
}

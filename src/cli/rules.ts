import { DEFAULT_NAME, ruleDefaults, ruleNames } from '../emqx/rules';
import { rulesCommand } from '../ops/rules-command';
import { rulesOptions, type RulesOptions } from '../ops/rules-options';
import { EXIT, type Command, type Given } from './command';

export const rules: Command = {
  name: 'rules',
  summary: 'Print the rules for EMQX, install them, or remove them.',
  usage: ['[options]', '--install [options]', '--remove [--set SET] [--name NAME] [--yes]'],
  description: [
    "Prints a set of rules for EMQX with this server's URL, your topics and INGEST_TOKEN.",
    'With --install the command puts the rules into EMQX, after showing what changes, and waits until a first event arrives.',
    'With --remove it takes out what --install made.',
  ],
  positionals: { least: 0, most: 1 },
  options: [
    { name: 'install', help: ['Put the connector, the action and the rule into EMQX. A second run changes nothing.'] },
    { name: 'remove', help: ['Remove what --install made.'] },
    { name: 'yes', help: ['Do not ask before the change. For scripts.'] },
    {
      name: 'set',
      value: 'SET',
      help: [`The set of rules: ${ruleNames.join(', ')}.`, 'Default: offline-messages; --remove without it removes all sets.'],
    },
    {
      name: 'url',
      value: 'URL',
      multiple: true,
      help: [
        'The address of this server as EMQX reaches it. Default: HOST and PORT.',
        'For EMQX 4 a second one is the server that EMQX falls back to.',
      ],
    },
    {
      name: 'topic',
      value: 'FILTER',
      multiple: true,
      help: [`A topic filter whose messages are stored. Default: ${ruleDefaults.topics.join(', ')}.`],
    },
    {
      name: 'name',
      value: 'NAME',
      help: [`The beginning of the names in EMQX. Default: ${DEFAULT_NAME}.`, 'Servers that share one EMQX each need a name of their own.'],
    },
    { name: 'emqx', value: '4|5', help: ['The generation of EMQX: 4 is 4.4, and 5 is 5 and 6. Default: that of EMQX_URL.'] },
  ],
  examples: [
    { command: 'emqx-offline-store rules --topic "t/#" > rules.json', effect: 'Writes the rules to a file, and changes nothing in EMQX.' },
    {
      command: 'emqx-offline-store rules --install --url http://store.example:8480',
      effect: 'Shows what changes in EMQX, asks, and installs the rules.',
    },
    { command: 'emqx-offline-store rules --remove --yes', effect: 'Removes the rules without asking.' },
  ],
  exitCodes: [
    { code: EXIT.done, meaning: 'Done, or nothing to do.' },
    { code: EXIT.failed, meaning: 'EMQX refused, does not reach the server, or you answered no.' },
  ],
  settings: ['EMQX_URL', 'EMQX_API_KEY', 'EMQX_API_SECRET', 'EMQX_CA_FILE', 'HOST', 'PORT', 'TLS_CERT_FILE', 'INGEST_TOKEN', 'CONFIG_FILE'],
  run: (given, shell) =>
    rulesCommand(rulesOptionsOf(given), {
      config: () => shell.configuration(),
      write: (text) => shell.printAsIs(text),
      hide: (text) => shell.secrets.hide(text),
      ask: shell.ask,
    }),
};

/** @throws SettingError */
export function rulesOptionsOf(given: Given): RulesOptions {
  const [emqx, set, name] = ['emqx', 'set', 'name'].map((option) => given.text(option));
  return rulesOptions({
    install: given.has('install'),
    remove: given.has('remove'),
    yes: given.has('yes'),
    emqx,
    set,
    name,
    urls: given.texts('url'),
    topics: given.texts('topic'),
    positionals: given.positionals,
  });
}

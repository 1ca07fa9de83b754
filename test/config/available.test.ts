import { checkAvailable } from '../../src/config/available';
import { loadConfig } from '../../src/config/load';

const check = (EMQX_URL: string, retain: string) =>
  checkAvailable(loadConfig({ EMQX_URL, POLICIES: JSON.stringify([{ filter: 'a' }, { filter: '#', retain }]) }));

test('the configuration accepts EMQX 4 and EMQX 5', () => {
  for (const url of ['http://emqx:8081/api/v4', 'http://emqx:18083/api/v5/'])
    for (const retain of ['off', 'store']) expect(() => check(url, retain)).not.toThrow();
  expect(() => check('http://emqx:18083/api/v5', 'restore')).not.toThrow();
});

test('restoring retained messages needs EMQX 5', () => {
  expect(() => check('http://emqx:8081/api/v4', 'restore')).toThrow(
    /^POLICIES\[1\]\.retain: "restore" needs EMQX 5 or later; .*use "store" or "off"$/,
  );
});

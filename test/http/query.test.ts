import { parseQuery } from '../../src/http/query';

describe('a query', () => {
  test.each([
    ['?filter=t/+', 't/+'],
    ['?filter=+/1', '+/1'],
    ['?filter=+', '+'],
    ['?filter=t%2F+%2Fx', 't/+/x'],
    ['?filter=t/%2B', 't/+'],
    ['?filter=my+topic/a+b', 'my topic/a b'],
    ['?filter=a%20b', 'a b'],
  ])('%s is the filter %p', (url, filter) => {
    expect(parseQuery(`/v1/messages${url}`)).toEqual({ filter });
  });
});

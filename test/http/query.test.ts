import { parseQuery } from '../../src/http/query';

describe('the query of a URL', () => {
  test.each([
    ['?filter=t/+', 't/+'],
    ['?filter=+/1', '+/1'],
    ['?filter=+', '+'],
    ['?filter=t%2F+%2Fx', 't/+/x'],
    ['?filter=t/%2B', 't/+'],
    ['?filter=my+topic/a+b', 'my topic/a b'],
    ['?filter=a%20b', 'a b'],
  ])('with %s has the filter %p', (url, filter) => {
    expect(parseQuery(`/v1/messages${url}`)).toEqual({ filter });
  });
});

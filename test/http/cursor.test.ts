import { Problem } from '../../src/door/problem';
import { decodeText, encodeText } from '../../src/http/cursor';

test.each(['a/b', 'große/Topics/😀'])('the cursor of %j is read as it was written', (text) => {
  expect(decodeText(encodeText(text))).toBe(text);
});

// The guard is the comparison in decodeText(). Without it a damaged cursor would begin at some other place, and a
// script would miss a part of the list.
test.each(['YQ==', 'Y', 'Y Q', 'YR', 'gg', '%'])('the cursor %j, which no page has ended with, is rejected', (cursor) => {
  expect(() => decodeText(cursor)).toThrow(Problem);
});

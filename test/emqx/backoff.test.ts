import { pauseMs } from '../../src/emqx/backoff';

test('the pauses between retries double up to 5 s, half of each at random', () => {
  const longest = [1, 2, 3, 4, 5, 6, 20].map((failures) => pauseMs(failures, { firstPauseMs: 200, random: () => 1 }));
  const shortest = [1, 2, 3, 4, 5, 6, 20].map((failures) => pauseMs(failures, { firstPauseMs: 200, random: () => 0 }));
  expect(longest).toEqual([200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
  expect(shortest).toEqual([100, 200, 400, 800, 1_600, 2_500, 2_500]);
});

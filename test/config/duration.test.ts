import { parseDuration } from '../../src/config/duration';

test.each([
  ['500ms', 500],
  ['30s', 30_000],
  ['5m', 300_000],
  ['2h', 7_200_000],
  ['7d', 604_800_000],
  ['1.5h', 5_400_000],
  ['36500d', 3_153_600_000_000],
])('%s', (text, ms) => expect(parseDuration(text)).toBe(ms));

test.each(['', '7', 'd', '7 d', '-1s', '1w', '1h30m', '7D', '0s', '0.1ms', '36501d', 'Infinityd'])(
  '%j is refused and says how to write it',
  (text) => {
    expect(() => parseDuration(text)).toThrow(RangeError);
  },
);

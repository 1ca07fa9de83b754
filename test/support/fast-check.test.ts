import fc from 'fast-check';
import * as named from 'fast-check';

/** The numbers that a property is asked about. */
function numbersOf(seed?: number): number[] {
  const numbers: number[] = [];
  fc.assert(
    fc.property(fc.integer(), (number) => void numbers.push(number)),
    { numRuns: 20, ...(seed !== undefined && { seed }) },
  );
  return numbers;
}

describe('a property', () => {
  (process.env['PROPERTY_SEED'] === undefined ? it : it.skip)('plays the same cases in each run, unless PROPERTY_SEED is set', () => {
    expect(numbersOf()).toEqual(numbersOf(20_261_127));
    expect(numbersOf()).not.toEqual(numbersOf(1));
    expect(named.configureGlobal).toBe(fc.configureGlobal);
  });
});

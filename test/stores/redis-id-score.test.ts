import { idScore } from '../../src/stores/redis/id-score';
import { compareText } from '../../src/stores/shared/order';

describe('the score of a message id', () => {
  it('is the time in an id of EMQX, in ms', () => {
    expect(idScore('0005F4A1B2C3D4E5F44000000A9C0001')).toBe(Math.floor(0x0005f4a1b2c3d4e5 / 1_000));
  });

  it('never decreases from one id to the next in the order of bytes, whatever the ids are', () => {
    const characters = ['0', '5', '9', ':', '@', 'A', 'F', 'G', 'Z', 'a', 'f', 'z', '-', ' ', '\u0001', 'é', '\ud7ff', '\uffee', '😀'];
    let seed = 1;
    const next = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const start = ['', '0005F4A1B2C3', '0005F4A1B2C3D4E', '0005F4A1B2C3D4E5', 'FFFFFFFFFFFFFFF'];
    const ids = Array.from({ length: 20_000 }, () => {
      const length = next(6);
      return start[next(start.length)]! + Array.from({ length }, () => characters[next(characters.length)]).join('');
    }).sort(compareText);
    const wrong = ids.findIndex((id, i) => i > 0 && idScore(ids[i - 1]!) > idScore(id));
    expect(wrong < 0 ? [] : [ids[wrong - 1], ids[wrong]]).toEqual([]);
    expect(new Set(ids.map(idScore)).size).toBeGreaterThan(100);
    expect(ids.map(idScore).every(Number.isFinite)).toBe(true);
  });
});

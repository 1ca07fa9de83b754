import { createLogger } from '../../src/base/log';
import { createMetrics } from '../../src/base/metrics';
import { LetterBox } from '../../src/dead-letters/box';
import { Letters } from '../../src/dead-letters/letters';
import { PostgresQueue } from '../../src/lanes/postgres';
import { withBackends } from '../support/backends';
import { emptyDatabase } from '../support/database';
import { message } from '../support/messages';
import { prepared } from '../support/prepared';

/** PostgreSQL takes only well-formed Unicode without U+0000 in JSON. */
describe('the reason of a dead letter on PostgreSQL', () => {
  withBackends(['postgres'], ({ postgres }) => {
    let queue: PostgresQueue;
    let box: LetterBox;
    let letters: Letters;
    beforeAll(async () => {
      queue = new PostgresQueue({
        connection: { connectionString: await emptyDatabase(postgres, 'offline_reasons') },
        onError: () => undefined,
      });
      await prepared(queue);
      box = new LetterBox(queue, { count: 100, ageMs: 1e9 });
      letters = new Letters({
        ...{ box, metrics: createMetrics(), now: () => 1, log: createLogger({ level: 'silent' }) },
        ...{ ingest: { accept: async () => undefined }, parse: () => ({}) as never, append: async () => true },
      });
    });
    afterAll(async () => {
      await box.close();
      await queue.close();
    });

    // Databases and EMQX quote what they refuse, and the server shortens that.
    it.each([
      ['a text that was cut in the middle of a character', 'unable to parse 😀'.slice(0, -1), 'unable to parse \ufffd'],
      ['U+0000', 'the key \0 must be text', 'the key \ufffd must be text'],
    ])('may have %s', async (_, reason, kept) => {
      const refused = message({ topic: 't' });
      await letters.setAside(refused, reason);
      expect((await letters.get(`letter-${refused.id}`))?.reason).toBe(kept);
    });

    it('names the client whose name it has shortened', async () => {
      const clientid = `${'c'.repeat(99)}😀`;
      const refused = message({ topic: 't' });
      await letters.setAside(refused, `EMQX refused it for the inbox of client ${clientid.slice(0, 100)}: no`);
      expect((await letters.about(clientid)).map(({ id }) => id)).toEqual([`letter-${refused.id}`]);
    });
  });
});

import { withProgram } from '../support/backends';
import { clientPages } from './client-pages';
import { entering } from './entering';
import { handling } from './handling';
import { letterPages } from './letter-pages';
import { openServer } from './open-server';
import { storedPages } from './stored-pages';
import { ConsoleStage } from './stage';

/** The console in real Chromium. Each suite has topics and clients of its own: they share one server. */
withProgram(
  'chromium',
  () => {
    describe('the console', () => {
      const stage = new ConsoleStage();
      beforeAll(() => stage.start(), 120_000);
      afterAll(() => stage.stop(), 30_000);
      // No request leaves for another host, no script fails, nothing violates the Content-Security-Policy.
      afterEach(async () => expect(await stage.browser.closeTabs()).toEqual([]));

      describe('the token', () => entering(stage));
      describe('keyboard, colours and narrow windows', () => handling(stage));
      describe('overview, topics, messages and retained', () => storedPages(stage));
      describe('clients and set-up', () => clientPages(stage));
      describe('dead letters', () => letterPages(stage));
    });

    describe('the console of a server without tokens', () => openServer());
  },
  ['chromium', '--version'],
);

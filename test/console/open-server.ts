import { publishEvent } from '../support/events';
import { ConsoleStage } from './stage';

/** Without ADMIN_TOKEN nobody is asked for a token. */
export function openServer(): void {
  const stage = new ConsoleStage();
  beforeAll(() => stage.start({}), 120_000);
  afterAll(() => stage.stop(), 30_000);
  afterEach(async () => expect(await stage.browser.closeTabs()).toEqual([]));

  it('opens at once, says that everybody may use it, and shows the first event when it arrives', async () => {
    const tab = await stage.open('set-up', { token: null });
    await tab.getByText('No event has arrived yet.').waitFor();
    await tab.getByText('This server has no ADMIN_TOKEN').waitFor();
    expect(await tab.getByRole('button', { name: 'Sign out' }).count()).toBe(0);
    await stage.post(publishEvent({ topic: 'first/1' }));
    await tab.getByText('Events are arriving.').waitFor();
    await tab.getByText('1 event since the server started').waitFor();
  });
}

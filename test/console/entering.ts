import type { Page } from 'playwright-core';
import { publishEvent } from '../support/events';
import { ADMIN_TOKEN, READ_TOKEN, type ConsoleStage } from './stage';

const PAGES = {
  overview: 'Overview',
  topics: 'Topics',
  messages: 'Messages',
  'clients?id=reader-1': 'Clients',
  'dead-letters': 'Dead letters',
  retained: 'Retained',
  'set-up': 'Set-up',
};

/** Buttons that change something. */
const CHANGING = /delete|deliver|retry|restore|add a subscription|end /i;

export function entering(stage: ConsoleStage): void {
  const signIn = async (tab: Page, token: string): Promise<void> => {
    await tab.getByLabel('Token').fill(token);
    await tab.getByRole('button', { name: 'Open the console' }).click();
  };

  it('is asked for; a wrong one is told so, and the right one opens the console until the user signs out', async () => {
    const tab = await stage.open('topics', { token: null });
    await signIn(tab, 'a-wrong-token');
    await tab.getByRole('alert').getByText('The server does not know this token.').waitFor();
    await signIn(tab, ADMIN_TOKEN);
    await tab.getByRole('heading', { name: 'Topics', level: 1 }).waitFor();

    await tab.reload();
    await tab.getByRole('heading', { name: 'Topics', level: 1 }).waitFor();
    await tab.getByRole('button', { name: 'Sign out' }).click();
    await tab.getByLabel('Token').waitFor();
    await tab.reload();
    await tab.getByLabel('Token').waitFor();
    expect(await tab.evaluate('JSON.stringify([{ ...sessionStorage }, { ...localStorage }])')).not.toContain(ADMIN_TOKEN);
  });

  it('is asked for again when the server refuses it later', async () => {
    const tab = await stage.open('overview');
    await tab.getByRole('heading', { name: 'Dependencies' }).waitFor();
    await tab.evaluate("sessionStorage.setItem('emqx-offline-store-token', 'another')");
    await tab.getByLabel('Token').waitFor();
    await tab.getByRole('alert').waitFor();
  });

  it('may be READ_TOKEN: every page is shown, and no button that changes something', async () => {
    await stage.post(publishEvent({ topic: 'reading/1', payload: Buffer.from('for reading') }));
    await stage.post(publishEvent({ topic: 'state/reading', retain: true }));
    await stage.refused({ event: 'message.publish', topic: 'reading/2' });
    await stage.stored('reading/#', 'for reading');
    await stage.retained('state/reading');
    await stage.api('PUT', '/v1/clients/reader-1/subscriptions', { subscriptions: [{ topic: 'reading/#', qos: 1 }] });

    const admin = await stage.open('messages?filter=reading/%23');
    const reader = await stage.open('messages?filter=reading/%23', { token: READ_TOKEN });
    const seen = { admin: new Set<string>(), reader: new Set<string>() };
    for (const [page, title] of Object.entries(PAGES)) {
      for (const [name, tab] of [
        ['admin', admin],
        ['reader', reader],
      ] as const) {
        await tab.goto(`${stage.url}#/${page}`);
        // Until the page has changed, the page before it has rows and buttons, too.
        await tab.getByRole('heading', { name: title, level: 1 }).waitFor();
        const isList = !['overview', 'set-up', 'clients?id=reader-1', 'topics'].includes(page);
        if (isList) await tab.locator('.row-button').first().click();
        if (page === 'topics') await tab.getByRole('link', { name: 'reading/1' }).waitFor();
        if (page.startsWith('clients')) await tab.getByText('reading/#').first().waitFor();
        for (const text of await tab.getByRole('button').allInnerTexts()) if (CHANGING.test(text)) seen[name].add(`${page}: ${text}`);
      }
    }
    expect([...seen.reader]).toEqual([]);
    expect(seen.admin.size).toBeGreaterThan(10);
    await reader.getByText('Read only').waitFor();
    // The set-up page keeps the token of the server to itself.
    await reader.getByText('replaced by ***').waitFor();
  });
}

import { publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { ConsoleStage } from './stage';

const PAGES = [
  ['o', 'Overview', 'overview'],
  ['t', 'Topics', 'topics'],
  ['m', 'Messages', 'messages'],
  ['c', 'Clients', 'clients'],
  ['d', 'Dead letters', 'dead-letters'],
  ['r', 'Retained', 'retained'],
  ['s', 'Set-up', 'set-up'],
] as const;

const LONG = `handling/${'a-long-level-'.repeat(12)}/1`;

export function handling(stage: ConsoleStage): void {
  it('g and a letter open each page, / goes to the search field, ? shows the shortcuts', async () => {
    const tab = await stage.open();
    await tab.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    // The page's clock stands still: on a busy machine the second key may come more than SECOND_KEY_MS (1.5 s) after the g.
    const pageClock = (ms: number) => tab.evaluate(`performance.now = () => ${ms}`);
    await pageClock(0);
    for (const [key, title, id] of PAGES) {
      await tab.keyboard.press('g');
      await tab.keyboard.press(key);
      await tab.getByRole('heading', { name: title, level: 1 }).waitFor();
      expect(new URL(tab.url()).hash).toBe(`#/${id}`);
      expect(await tab.getByRole('navigation').locator('[aria-current=page]').innerText()).toContain(title);
    }
    // Each round types at once after the page has changed: nothing takes the focus from the field.
    for (let round = 0; round < 5; round++) {
      await tab.getByRole('heading', { level: 1 }).focus();
      await tab.keyboard.press('g');
      await tab.keyboard.press('o');
      await tab.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
      await tab.keyboard.press('g');
      await tab.keyboard.press('m');
      await tab.getByRole('heading', { name: 'Messages', level: 1 }).waitFor();
      await tab.keyboard.press('/');
      // What is typed into a field is no shortcut.
      await tab.keyboard.type('g/o?');
      expect(await tab.getByLabel('Topic filter').inputValue()).toBe('g/o?');
    }
    await tab.getByRole('heading', { name: 'Messages', level: 1 }).click();
    await tab.keyboard.press('?');
    await tab.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await tab.keyboard.press('Escape');
    await tab.getByRole('dialog').waitFor({ state: 'detached' });
    // A letter that comes late opens nothing.
    await tab.keyboard.press('g');
    await pageClock(1_500);
    await tab.keyboard.press('t');
    expect(new URL(tab.url()).hash).toBe('#/messages');
  });

  it('the keyboard alone opens a message, and a dialog gives the focus back', async () => {
    await stage.post(publishEvent({ topic: 'handling/keys', payload: Buffer.from('keys') }));
    await stage.stored('handling/keys', 'keys');
    const tab = await stage.open('messages?filter=handling/keys');
    const focused = () => tab.evaluate('document.activeElement.textContent');
    await tab.locator('.row-button').waitFor();
    await tab.keyboard.press('Tab');
    const skip = tab.getByRole('link', { name: 'Skip to the page' });
    expect(await focused()).toBe(await skip.innerText());
    await tab.keyboard.press('Enter');
    for (let i = 0; i < 4; i++) await tab.keyboard.press('Tab');
    await tab.keyboard.press('Enter');
    const remove = tab.getByRole('button', { name: 'Delete ...', exact: true });
    await remove.focus();
    await tab.keyboard.press('Enter');
    await tab.getByRole('dialog', { name: 'Delete this message?' }).waitFor();
    // What has the focus at the moment when the dialog goes: the user's next key may follow at once.
    await tab.evaluate(`new MutationObserver(() => {
      if (document.querySelector('dialog') === null) window.focusedAtOnce ??= document.activeElement.textContent;
    }).observe(document.body, { childList: true, subtree: true })`);
    await tab.keyboard.press('Escape');
    await tab.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await tab.evaluate('window.focusedAtOnce')).toBe('Delete ...');
    expect(await focused()).toBe('Delete ...');
    expect(await stage.texts('handling/keys')).toEqual(['keys']);
  });

  /** A page in light colours on a system with dark ones. */
  const lightOnDark = async () => {
    const tab = await stage.open('overview', { colorScheme: 'dark' });
    const background = () => tab.evaluate('getComputedStyle(document.body).backgroundColor');
    await tab.getByLabel('Colours').waitFor();
    const dark = await background();
    await tab.getByLabel('Colours').selectOption('light');
    const light = await waitFor('the light colours', async () => [await background()].find((colour) => colour !== dark));
    return { tab, background, dark, light };
  };

  it('the colours follow the system, or the switch', async () => {
    const { tab, background, dark, light } = await lightOnDark();
    await tab.reload();
    await tab.getByLabel('Colours').waitFor();
    expect(await background()).toBe(light);
    await tab.getByLabel('Colours').selectOption('system');
    await waitFor('the dark colours again', async () => (await background()) === dark);
  });

  // The guards are the layout effects of useTheme, useShortcuts and usePlace. Other effects run when the page has been painted.
  it('the chosen colours are there when the page appears, and the first key and the first link are followed', async () => {
    const { tab, light } = await lightOnDark();
    await tab.addInitScript(`new MutationObserver((_, observer) => {
      if (document.querySelector('h1') === null) return;
      observer.disconnect();
      window.coloursAtOnce = getComputedStyle(document.body).backgroundColor;
      dispatchEvent(new KeyboardEvent('keydown', { key: '?' }));
      location.hash = '#/topics';
    }).observe(document, { childList: true, subtree: true })`);
    await tab.reload();
    await tab.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await tab.keyboard.press('Escape');
    await tab.getByRole('heading', { name: 'Topics', level: 1 }).waitFor();
    expect(await tab.evaluate('window.coloursAtOnce')).toBe(light);
  });

  it('a window of 360 px shows every page without a horizontal scroll bar', async () => {
    await stage.post(publishEvent({ topic: LONG, payload: Buffer.from('x'.repeat(300)), clientid: `client-${'x'.repeat(80)}` }));
    await stage.post(publishEvent({ topic: `state/${LONG}`, retain: true }));
    await stage.refused({ event: 'message.publish', topic: LONG, id: 'x'.repeat(300) });
    await stage.stored(LONG, 'x'.repeat(300));
    await stage.retained(`state/${LONG}`);
    const tab = await stage.open('', { viewport: { width: 360, height: 740 } });
    for (const [, title, id] of PAGES) {
      await tab.getByRole('button', { name: 'Menu' }).click();
      await tab.getByRole('link', { name: title }).click();
      await tab.getByRole('heading', { name: title, level: 1 }).waitFor();
      if (id === 'clients') await tab.goto(`${stage.url}#/clients?id=client-${'x'.repeat(80)}`);
      if (['messages', 'dead-letters', 'retained'].includes(id)) await tab.locator('.row-button').last().click();
      if (id === 'topics') await tab.getByRole('link', { name: LONG }).first().waitFor();
      if (id === 'set-up') await tab.getByText('Rule file').waitFor();
      expect([id, await tab.evaluate('document.documentElement.scrollWidth')]).toEqual([id, 360]);
    }
    await tab.goto(`${stage.url}#/messages?filter=${encodeURIComponent(LONG)}`);
    await tab.locator('.row-button').first().click();
    await tab.getByRole('radio', { name: 'Hex' }).check({ force: true });
    await tab.getByRole('button', { name: 'Deliver now ...' }).click();
    await tab.getByRole('dialog').waitFor();
    expect(await tab.evaluate('document.documentElement.scrollWidth')).toBe(360);
  });
}

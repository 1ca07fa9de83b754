/** `npm run screenshots`: pictures of every page for docs/console.md, from a server with the data of a small water company. */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { seed } from './screenshot-data';
import { ADMIN_TOKEN, ConsoleStage, READ_TOKEN } from './stage';

const FOLDER = resolve(__dirname, '../../docs/console');
const SIZE = { width: 1180, height: 820 };

/** The charts have something to show after this time, in ms. */
const CHART_MS = 100_000;

const PAGES: readonly { readonly name: string; readonly at: string; readonly prepare?: (tab: Page) => Promise<void> }[] = [
  { name: 'topics', at: 'topics' },
  {
    name: 'messages',
    at: 'messages?filter=site/%2B/alarm',
    prepare: (tab) => tab.locator('.row-button').nth(1).click(),
  },
  { name: 'clients', at: 'clients?id=pump-17', prepare: (tab) => tab.locator('.explanation li').first().waitFor() },
  { name: 'dead-letters', at: 'dead-letters', prepare: (tab) => tab.locator('.row-button').first().click() },
  {
    name: 'retained',
    at: 'retained',
    async prepare(tab) {
      await tab.getByRole('button', { name: 'Restore to EMQX ...' }).click();
      await tab.getByRole('button', { name: 'Restore', exact: true }).click();
      await tab.locator('.outcome').getByText('done', { exact: true }).waitFor();
      await tab.locator('.row-button').first().click();
    },
  },
  { name: 'set-up', at: 'set-up', prepare: (tab) => tab.getByText('Rule file').waitFor() },
];

async function main(): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const stage = new ConsoleStage();
  await stage.start({ ADMIN_TOKEN, READ_TOKEN, PORT: '8480' });
  const stop = await seed(stage);
  const shoot = (tab: Page, name: string) => tab.screenshot({ path: join(FOLDER, `${name}.png`) });

  const overview = await stage.open('overview', { viewport: SIZE });
  const dark = await stage.open('overview', { viewport: SIZE, colorScheme: 'dark' });
  const phone = await stage.open('overview', { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 });
  await sleep(CHART_MS);
  await shoot(overview, 'overview');
  await shoot(dark, 'overview-dark');
  await phone.goto(`${stage.url}#/messages?filter=site/%2B/alarm`);
  await phone.locator('.row-button').first().click();
  await shoot(phone, 'phone');

  // EMQX has lost two of its retained messages.
  for (const topic of ['state/hill/gate', 'state/mill/gate']) stage.world.emqx.broker.retained.delete(topic);
  for (const { name, at, prepare } of PAGES) {
    await overview.goto(`${stage.url}#/${at}`);
    await overview.getByRole('heading', { level: 1 }).waitFor();
    await prepare?.(overview);
    await sleep(1_000);
    await overview.mouse.move(0, 0);
    await shoot(overview, name);
  }
  await stop();
  const faults = await stage.browser.closeTabs();
  await stage.stop();
  if (faults.length > 0) throw new Error(faults.join('\n'));
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});

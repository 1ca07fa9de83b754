import { readFileSync } from 'node:fs';
import { publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { ConsoleStage } from './stage';

interface Letter {
  readonly id: string;
  readonly reason: string;
}

export function letterPages(stage: ConsoleStage): void {
  const letters = async () => (await stage.api<{ letters: Letter[] }>('GET', '/v1/dead-letters')).letters;
  const wrong = (topic: string) => ({ ...publishEvent({ topic, payload: Buffer.from('repaired') }), qos: 7 });
  beforeEach(() => stage.api('DELETE', '/v1/dead-letters'));

  it('an empty list is shown', async () => {
    const tab = await stage.open('dead-letters');
    await tab.getByText('There are no dead letters').waitFor();
    expect(await tab.getByRole('button', { name: 'Export' }).count()).toBe(0);
  });

  it('a letter tells why, is edited and retried; the server says what is still wrong', async () => {
    await stage.refused({ ...wrong('letters/1'), event: undefined }, '/v1/events/message.publish');
    const tab = await stage.open('dead-letters');
    await tab.locator('.row-button').click();
    const [letter] = await letters();
    expect(await tab.locator('.facts').innerText()).toContain(letter?.reason);
    await tab.getByRole('navigation').locator('.count').getByText('1').waitFor();

    await tab.getByRole('button', { name: 'Retry as it is' }).click();
    await tab.getByRole('status').getByText(/qos/).waitFor();
    expect(await letters()).toHaveLength(1);

    await tab.getByRole('button', { name: 'Edit and retry ...' }).click();
    const text = tab.getByLabel('Event as JSON');
    const event = JSON.parse(await text.inputValue()) as Record<string, unknown>;
    // The path named the event, so the text must.
    expect(event).toMatchObject({ event: 'message.publish', qos: 7 });
    const retry = tab.getByRole('button', { name: 'Retry with this event' });
    await text.fill('{ no JSON');
    await retry.click();
    await tab.getByRole('dialog').getByText('The text is not JSON').waitFor();
    await text.fill(JSON.stringify({ ...event, qos: 8 }));
    await retry.click();
    await tab.getByRole('dialog').locator('.problem code', { hasText: 'qos' }).waitFor();
    expect(await letters()).toHaveLength(1);

    await text.fill(JSON.stringify({ ...event, qos: 1 }));
    await retry.click();
    await tab.getByText('The edited event is queued').waitFor();
    await tab.getByText('There are no dead letters').waitFor();
    await stage.stored('letters/1', 'repaired');
    expect(await letters()).toEqual([]);
  });

  it('letters are exported, retried together, deleted alone and all together', async () => {
    for (const topic of ['letters/2', 'letters/3', 'letters/4']) await stage.refused(wrong(topic));
    const tab = await stage.open('dead-letters');
    const [download] = await Promise.all([tab.waitForEvent('download'), tab.getByRole('button', { name: 'Export' }).click()]);
    expect(download.suggestedFilename()).toBe('dead-letters.ndjson');
    const lines = readFileSync(await download.path(), 'utf8')
      .trim()
      .split('\n');
    expect(lines.map((line) => (JSON.parse(line) as Letter).id)).toEqual((await letters()).map(({ id }) => id));

    await tab.getByRole('button', { name: 'Retry all ...' }).click();
    await tab.getByRole('button', { name: 'Retry all', exact: true }).click();
    await tab.getByText('0 events queued again.').waitFor();

    await tab.locator('.row-button').first().click();
    await tab.getByRole('button', { name: 'Delete ...', exact: true }).click();
    await tab.getByRole('dialog', { name: 'Delete this dead letter?' }).getByText('qos').waitFor();
    await tab.getByRole('button', { name: 'Delete dead letter', exact: true }).click();
    await waitFor('two letters', async () => (await letters()).length === 2 && (await tab.locator('.row-button').count()) === 2);

    await tab.getByRole('button', { name: 'Delete all ...' }).click();
    await tab.getByRole('button', { name: 'Delete all dead letters', exact: true }).click();
    await tab.getByText('2 dead letters deleted.').waitFor();
    await tab.getByText('There are no dead letters').waitFor();
    expect(await letters()).toEqual([]);
  });
}

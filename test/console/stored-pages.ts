import { publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { ConsoleStage } from './stage';

export function storedPages(stage: ConsoleStage): void {
  const publish = (topic: string, ...texts: (string | Buffer)[]): Promise<void> =>
    stage.post(...texts.map((text) => publishEvent({ topic, payload: Buffer.from(text), clientid: 'sensor-1' })));

  it('the overview shows figures, charts that go on, lanes and dependencies', async () => {
    await publish('overview/1', 'a', 'b', 'c');
    await stage.stored('overview/1', 'a', 'b', 'c');
    const tab = await stage.open('overview');
    const figure = tab.locator('.figure', { hasText: 'Stored messages' }).locator('strong');
    // Other messages may still be on their way to the store: both sides are asked again.
    await waitFor('the number of stored messages', async () => {
      const { messages } = await stage.api<{ messages: number }>('GET', '/v1/stats');
      return messages >= 3 && (await figure.innerText()) === String(messages);
    });
    for (const name of ['Throughput', 'Backlog', 'Lanes']) await tab.getByRole('img', { name: new RegExp(`^${name}`) }).waitFor();
    for (const name of ['store', 'queue', 'emqx']) await tab.locator('.dependency', { hasText: name }).getByText('works').waitFor();
    await tab.getByText(/^All \d+ lanes$/).click();
    await tab.getByRole('columnheader', { name: 'Waiting' }).waitFor();
    // A line needs two samples: the page asks again by itself.
    await waitFor('a line', async () => (await tab.locator('path.line').first().getAttribute('d'))?.includes('L'));
  });

  it('topics show their count and age, can be searched, and their messages deleted after a question', async () => {
    await publish('topics/1', 'a', 'b');
    await publish('topics/2', 'c');
    await stage.stored('topics/#', 'a', 'b', 'c');
    const tab = await stage.open('topics');
    await tab.getByLabel('Topic filter').fill('topics/#');
    await tab.keyboard.press('Enter');
    const row = (topic: string) => tab.getByRole('row').filter({ has: tab.getByRole('link', { name: topic }) });
    // The list of all topics has these rows, too, and goes when the search is answered.
    await waitFor('the two topics', async () => (await tab.locator('tbody tr').count()) === 2);
    await row('topics/2').getByText(/ago$/).waitFor();
    expect(await tab.locator('tbody tr').count()).toBe(2);
    expect(await row('topics/1').locator('.number').first().innerText()).toBe('2');

    await row('topics/1').getByRole('button', { name: 'Delete the messages of topics/1' }).click();
    const dialog = tab.getByRole('dialog', { name: 'Delete messages?' });
    await dialog.getByText('2 messages of 1 topic').waitFor();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    expect(await stage.texts('topics/#')).toEqual(['a', 'b', 'c']);
    await row('topics/1').getByRole('button', { name: 'Delete the messages of topics/1' }).click();
    await dialog.getByRole('button', { name: 'Delete messages' }).click();
    await tab.getByRole('status').getByText('2 messages deleted.').waitFor();
    await row('topics/1').waitFor({ state: 'detached' });
    expect(await stage.texts('topics/#')).toEqual(['c']);

    await row('topics/2').getByRole('link').click();
    await tab.getByRole('heading', { name: 'Messages', level: 1 }).waitFor();
    await tab.getByText('topics/2').first().waitFor();
  });

  it('messages show their payload as text, JSON and hex, and are deleted one by one or all that match', async () => {
    await publish('messages/json', '{"level":7}');
    await publish('messages/binary', Buffer.from([0, 255, 65]));
    await stage.stored('messages/#', null, '{"level":7}');
    const tab = await stage.open('messages');
    await tab.getByLabel('Topic filter').fill('messages/#');
    await tab.getByRole('button', { name: 'Search' }).click();
    const payload = tab.getByRole('region', { name: 'Payload' });
    // The list of all messages has these rows, too, and goes when the search is answered.
    await waitFor('the two messages', async () => (await tab.locator('.row-button').count()) === 2);
    await tab.getByRole('button', { name: 'messages/json' }).click();
    expect(await payload.locator('pre').innerText()).toBe('{\n  "level": 7\n}');
    await payload.getByText('Text', { exact: true }).click();
    expect(await payload.locator('pre').innerText()).toBe('{"level":7}');
    await payload.getByText('Hex', { exact: true }).click();
    expect(await payload.locator('pre').innerText()).toContain('7b 22 6c 65 76 65 6c');
    await tab.getByRole('link', { name: 'sensor-1' }).waitFor();

    await tab.getByRole('button', { name: 'messages/binary' }).click();
    expect(await payload.locator('pre').innerText()).toContain('00 ff 41');
    await tab.getByRole('button', { name: 'Delete ...', exact: true }).click();
    await tab.getByRole('button', { name: 'Delete message', exact: true }).click();
    await tab.getByText('The message is deleted.').waitFor();
    await stage.stored('messages/#', '{"level":7}');

    await tab.getByRole('button', { name: 'Delete all that match ...' }).click();
    await tab.getByRole('dialog').getByText('messages/#').waitFor();
    await tab.getByRole('button', { name: 'Delete messages', exact: true }).click();
    await tab.getByText('No stored message matches this filter.').waitFor();
    await stage.stored('messages/#');
  });

  it('long lists come page by page; a wrong filter shows what is wrong', async () => {
    await publish('pages/1', ...Array.from({ length: 60 }, (_, i) => `${i}`));
    await waitFor('60 messages', async () => (await stage.texts('pages/1')).length === 60);
    const tab = await stage.open('messages?filter=pages/1');
    await tab.locator('.row-button').nth(49).waitFor();
    expect(await tab.locator('.row-button').count()).toBe(50);
    await tab.getByRole('button', { name: 'Show more' }).click();
    await tab.locator('.row-button').nth(59).waitFor();
    expect(await tab.getByRole('button', { name: 'Show more' }).count()).toBe(0);
    await tab.getByLabel('Topic filter').fill('a/#/b');
    await tab.keyboard.press('Enter');
    const alert = tab.getByRole('alert');
    await alert.locator('code', { hasText: 'filter' }).waitFor();
  });

  it('a message is delivered now, and the page tells the outcome', async () => {
    const pump = await stage.world.subscriber('pump-17');
    await pump.subscribe('deliver/#');
    // A message that is not younger than the subscription would be delivered because of the subscription.
    await stage.quiet();
    await publish('deliver/1', 'now');
    await stage.stored('deliver/#', 'now');
    const tab = await stage.open('messages?filter=deliver/%23');
    await tab.getByRole('button', { name: 'deliver/1' }).click();
    await tab.getByRole('button', { name: 'Deliver now ...' }).click();
    await tab.getByLabel('Client id').fill('pump-17');
    await tab.getByRole('button', { name: 'Deliver', exact: true }).click();
    await tab.locator('.outcome').getByText('done', { exact: true }).waitFor();
    await tab.locator('.outcome').getByText('1 message sent.').waitFor();
    expect(await pump.receives(1)).toEqual(['now']);
    await stage.stored('deliver/#');
  });

  it('retained messages are restored, and the page tells the outcome', async () => {
    await stage.post(publishEvent({ topic: 'state/pump', payload: Buffer.from('on'), retain: true }));
    await stage.retained('state/pump');
    const tab = await stage.open('retained?filter=state/pump');
    await tab.getByRole('button', { name: 'state/pump' }).click();
    expect(await tab.getByRole('region', { name: 'Payload' }).locator('pre').innerText()).toBe('on');
    await tab.getByRole('button', { name: 'Restore to EMQX ...' }).click();
    await tab.getByRole('button', { name: 'Restore', exact: true }).click();
    await tab.locator('.outcome').getByText('done', { exact: true }).waitFor();
    await tab.locator('.outcome').getByText('1 message published').waitFor();
    expect(stage.world.emqx.broker.retained.get('state/pump')?.payload.toString()).toBe('on');
  });
}

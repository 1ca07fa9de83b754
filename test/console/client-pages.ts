import { publishEvent } from '../support/events';
import { waitFor } from '../support/wait';
import type { ConsoleStage } from './stage';

interface Client {
  readonly explanation: readonly { readonly text: string }[];
  readonly subscriptions: readonly { readonly topic: string; readonly qos: number }[];
  readonly delivery: { readonly unacknowledged: number } | null;
}

export function clientPages(stage: ConsoleStage): void {
  const client = (id: string) => stage.api<Client>('GET', `/v1/clients/${encodeURIComponent(id)}`);

  it("a client's page shows state, subscriptions, unacknowledged messages and the explanation", async () => {
    await stage.post(...['a', 'b'].map((text) => publishEvent({ topic: 'clients/1', payload: Buffer.from(text) })));
    await stage.stored('clients/1', 'a', 'b');
    const pump = await stage.world.subscriber('pump/21');
    const acknowledge = pump.holdAcks();
    await pump.subscribe('clients/#');
    await waitFor('both to be out', async () => (await client('pump/21').catch(() => null))?.delivery?.unacknowledged === 2);

    const tab = await stage.open('clients');
    await tab.getByLabel('Client id').fill('pump/21');
    await tab.getByRole('button', { name: 'Show' }).click();
    await tab.getByText('2 messages sent and not acknowledged').waitFor();
    await tab.getByText('connected', { exact: true }).waitFor();
    await tab.locator('.subscriptions').getByText('clients/#').waitFor();
    // The explanation changes with time, and the page asks for it every 3 s.
    await waitFor('the explanation of the server', async () => {
      const told = await tab.locator('.explanation .breakable').allInnerTexts();
      const expected = (await client('pump/21')).explanation.map(({ text }) => shape(text));
      return expected.length > 0 && JSON.stringify(told.map(shape)) === JSON.stringify(expected);
    });

    acknowledge();
    // The page follows by itself.
    await tab.getByText('Nothing is on its way to the client.').waitFor();
    await stage.stored('clients/1');
  });

  it('read positions are shown, and clients that were looked at last are listed', async () => {
    await stage.post(publishEvent({ topic: 'orders/1', payload: Buffer.from('one') }));
    await stage.stored('orders/1', 'one');
    const reader = await stage.world.subscriber('till-3');
    await reader.subscribe('orders/#');
    await reader.receives(1);
    await waitFor(
      'a position',
      async () => (await stage.api<{ positions: unknown[] }>('GET', '/v1/clients/till-3')).positions.length === 1,
    );
    const tab = await stage.open('clients?id=till-3');
    await tab.getByRole('region', { name: 'Read positions' }).getByRole('link', { name: 'orders/1' }).waitFor();
    await tab.getByRole('link', { name: 'Clients' }).click();
    await tab.getByRole('link', { name: 'till-3' }).click();
    await tab.getByRole('region', { name: 'Read positions' }).getByRole('link', { name: 'orders/1' }).waitFor();
  });

  it('the page of an unknown client says so', async () => {
    const tab = await stage.open('clients?id=nobody');
    await tab.getByRole('alert').getByText('The server knows nothing about a client with this id.').waitFor();
  });

  it("a client's page adds and ends subscriptions and requests a delivery", async () => {
    const lamp = await stage.world.subscriber('lamp-5');
    await lamp.subscribe('lamps/5');
    await waitFor('it', async () => (await client('lamp-5').catch(() => null))?.subscriptions.length === 1);
    const subscriptions = async () => (await client('lamp-5')).subscriptions.map(({ topic, qos }) => `${topic} ${qos}`);
    const tab = await stage.open('clients?id=lamp-5');
    await tab.getByRole('button', { name: 'Add a subscription ...' }).click();
    await tab.getByLabel('Topic filter').fill('lamps/all');
    await tab.getByLabel('QoS').selectOption('2');
    await tab.getByRole('button', { name: 'Add', exact: true }).click();
    await tab.locator('.subscriptions').getByText('lamps/all').waitFor();
    expect(await subscriptions()).toEqual(['lamps/5 1', 'lamps/all 2']);

    await tab.getByRole('button', { name: 'End the subscription lamps/5' }).click();
    await tab.getByRole('button', { name: 'End subscription', exact: true }).click();
    await tab.locator('.subscriptions').getByText('lamps/5').waitFor({ state: 'detached' });
    expect(await subscriptions()).toEqual(['lamps/all 2']);

    await stage.post(publishEvent({ topic: 'lamps/all', payload: Buffer.from('off') }));
    await stage.stored('lamps/all', 'off');
    await stage.quiet();
    await tab.getByRole('button', { name: 'Deliver now ...' }).click();
    // With the filter lamps/all the request would count as the subscription of a moment ago (promise 9).
    await tab.getByLabel('Topic filter').fill('lamps/+');
    await tab.getByRole('button', { name: 'Deliver', exact: true }).click();
    await tab.locator('.outcome').getByText('done', { exact: true }).waitFor();
    expect(await tab.locator('.outcome').innerText()).toContain('1 message sent.');
    expect(await lamp.receives(1)).toEqual(['off']);

    await tab.getByRole('button', { name: 'End all ...' }).click();
    await tab.getByRole('button', { name: 'End all subscriptions', exact: true }).click();
    await tab.getByText('None is stored.').waitFor();
    expect(await subscriptions()).toEqual([]);
  });

  it('the set-up page shows and copies command and rule, and shows arriving events', async () => {
    // Events of the clients above would be counted as well.
    await stage.quiet();
    const tab = await stage.open('set-up');
    await tab.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    const command = tab.locator('.copy-box', { hasText: 'Command' }).locator('pre');
    const rule = tab.locator('.copy-box', { hasText: 'Rule file' }).locator('pre');
    await command.waitFor();
    await tab.getByText('Offline only:').click();
    await tab.getByLabel('Topic filters, one in each line').fill('site/#\nshop/+');
    await waitFor('the command', async () => /offline-only.*site\/#.*shop\/\+/s.test(await command.innerText()));
    await waitFor('the rule', async () => (await rule.innerText()).includes('shop/+'));
    await tab.getByRole('button', { name: 'Copy: Rule file' }).click();
    await tab.getByText('Copied: Rule file.').waitFor();
    expect(await tab.evaluate('navigator.clipboard.readText()')).toBe(await rule.innerText());
    await tab.getByRole('button', { name: 'Copy: Command' }).click();
    await tab.getByText('Copied: Command.').waitFor();
    expect(await tab.evaluate('navigator.clipboard.readText()')).toBe(await command.innerText());
    await tab.getByLabel('EMQX version').selectOption('4');
    await waitFor('the rule of EMQX 4', async () => (await rule.innerText()).includes('"resources"'));

    const arrived = async () => Number(/([\d,]+) events? since/.exec(await tab.locator('.arriving').innerText())?.[1]?.replace(',', ''));
    const before = await arrived();
    await stage.post(publishEvent({ topic: 'set-up/1' }), publishEvent({ topic: 'set-up/1' }));
    await waitFor('two more events', async () => (await arrived()) === before + 2);
  });
}

/** Sentences that tell times differ from second to second. */
function shape(text: string): string {
  return text
    .replace(/\d+/g, 'n')
    .replace(/n (s|min|h)\b/g, 'n time')
    .trim();
}

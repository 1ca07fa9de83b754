import type { BrowserContextOptions, Page } from 'playwright-core';
import { World } from '../e2e/world';
import { temporaryDirectory } from '../support/temp';
import { waitFor } from '../support/wait';
import { buildConsole } from './built';
import { Browser } from './browser';

export const ADMIN_TOKEN = 'admin-token-of-the-console-tests';
export const READ_TOKEN = 'read-token-of-the-console-tests';

const POLICIES = [{ filter: 'orders/#', mode: 'pubsub' }, { filter: 'state/#', retain: 'restore' }, { filter: '#' }];

/** The server with its embedded database, a stand-in for EMQX, and Chromium. */
export class ConsoleStage {
  private readonly directory = temporaryDirectory();
  world!: World;
  browser!: Browser;

  async start(env: Readonly<Record<string, string>> = { ADMIN_TOKEN, READ_TOKEN }): Promise<void> {
    buildConsole();
    const settings = { DATA_DIR: this.directory.path, POLICIES: JSON.stringify(POLICIES), ...env };
    [this.world, this.browser] = await Promise.all([World.start({ env: settings, rules: [] }), Browser.start()]);
    // The shipped rule is for t/#; these tests have other topics.
    await this.world.importChanged('full', (sql) => sql.replaceAll('t/#', '#'));
  }

  async stop(): Promise<void> {
    await this.browser.stop();
    await this.world.stop();
    this.directory.remove();
  }

  get url(): string {
    return `${this.world.server.url}/console`;
  }

  /** The console in a new tab. `token` null: the form for the token is shown, or the server has none. */
  async open(page = '', { token = ADMIN_TOKEN, ...options }: { token?: string | null } & BrowserContextOptions = {}): Promise<Page> {
    const tab = await this.browser.open(options);
    if (token !== null) await tab.addInitScript(`sessionStorage.setItem('emqx-offline-store-token', '${token}')`);
    await tab.goto(`${this.url}#/${page}`);
    return tab;
  }

  /** A request to the server with the admin token. @throws when the answer is no success */
  async api<T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, ...(body !== undefined && { 'content-type': 'application/json' }) };
    const answer = await fetch(`${this.world.server.url}${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** Waits until every event is answered and every lane is empty, in two looks in a row. */
  async quiet(): Promise<void> {
    const { world } = this;
    const isQuiet = async (): Promise<boolean> => {
      if (world.emqx.pending > 0 || (await world.isSoon())) return false;
      const { lanes } = await this.api<{ lanes: { waiting: number; active: number }[] | null }>('GET', '/v1/stats');
      // null: the queue did not answer within 3 s.
      return lanes !== null && lanes.every(({ waiting, active }) => waiting + active === 0);
    };
    let looks = 0;
    await waitFor('the lanes to be empty', async () => (looks = (await isQuiet()) ? looks + 1 : 0) === 2);
  }

  async post(...events: unknown[]): Promise<void> {
    await this.api('POST', '/v1/events', events);
  }

  /** An event that the server refuses, so that it becomes a dead letter. */
  async refused(event: unknown, path = '/v1/events'): Promise<void> {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(event) };
    const { status } = await fetch(`${this.world.server.url}${path}`, init);
    if (status !== 400) throw new Error(`a wrong event was answered ${status}`);
  }

  /** The texts of the stored messages that match, in their order. */
  async texts(filter: string): Promise<(string | null)[]> {
    const { messages } = await this.api<{ messages: { text: string | null }[] }>(
      'GET',
      `/v1/messages?filter=${encodeURIComponent(filter)}`,
    );
    return messages.map(({ text }) => text);
  }

  /** Waits until the retained message of the topic is stored. A page reads the list of retained messages only once. */
  async retained(topic: string): Promise<void> {
    const path = `/v1/retained?filter=${encodeURIComponent(topic)}`;
    await waitFor(
      `the retained message of ${topic}`,
      async () => (await this.api<{ messages: unknown[] }>('GET', path)).messages.length === 1,
    );
  }

  /** Waits until exactly these are stored. */
  async stored(filter: string, ...texts: (string | null)[]): Promise<void> {
    await waitFor(`${JSON.stringify(texts)} in ${filter}`, async () => JSON.stringify(await this.texts(filter)) === JSON.stringify(texts));
  }
}

import { existsSync } from 'node:fs';
import { chromium, type Browser as Chromium, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';

/** Where Debian and others put the program. */
const PROGRAM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/snap/bin/chromium'].find((path) => existsSync(path));

/** Chromium writes a line about each answer that is not a success; tests provoke these on purpose. */
const FAILED_REQUEST = /^Failed to load resource: the server responded with a status of [45]\d\d/;

/** Real Chromium. It reaches 127.0.0.1 only, and what a page does wrong is noted. */
export class Browser {
  /** Requests to other hosts, errors of scripts, violations of the Content-Security-Policy. */
  readonly faults: string[] = [];
  private readonly contexts: BrowserContext[] = [];

  private constructor(private readonly chromium: Chromium) {}

  static async start(): Promise<Browser> {
    const args = ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'];
    const options = { args, ...(PROGRAM !== undefined && { executablePath: PROGRAM }) };
    return new Browser(await chromium.launch(options));
  }

  /** A tab with nothing from other tabs in it. */
  async open(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    this.contexts.push(context);
    // One step of a test may take most of the test's own time.
    context.setDefaultTimeout(50_000);
    context.on('request', (request) => {
      const { hostname, protocol } = new URL(request.url());
      if (protocol.startsWith('http') && hostname !== '127.0.0.1') this.faults.push(`a request to ${request.url()}`);
    });
    context.on('weberror', (error) => this.faults.push(String(error.error())));
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !FAILED_REQUEST.test(message.text())) this.faults.push(message.text());
    });
    return context.newPage();
  }

  /** @returns what was wrong since the last call. */
  async closeTabs(): Promise<string[]> {
    await Promise.all(this.contexts.splice(0).map((context) => context.close()));
    return this.faults.splice(0);
  }

  stop(): Promise<void> {
    return this.chromium.close();
  }
}

import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installOnce } from './once';
import { run } from './run';

const NO_AUTOSTART = '/usr/sbin/policy-rc.d';
const NONINTERACTIVE = { DEBIAN_FRONTEND: 'noninteractive' };

interface Batch {
  readonly packages: Set<string>;
  readonly done: Promise<void>;
}

let next: Batch | null = null;
let last: Promise<unknown> = Promise.resolve();

/** Installs packages of this machine's Debian. Only one apt runs at a time: what is asked for meanwhile goes into the next run together. */
export function apt(...packages: readonly string[]): Promise<void> {
  const missing = packages.filter((name) => !isInstalled(name));
  if (missing.length === 0) return Promise.resolve();
  if (next === null) {
    const batch = new Set<string>();
    const done = last
      .then(() => new Promise(setImmediate))
      .then(() => {
        next = null;
        return install([...batch]);
      });
    last = done.catch(() => undefined);
    next = { packages: batch, done };
  }
  for (const name of missing) next.packages.add(name);
  return next.done;
}

/**
 * Unpacks packages of another Debian release, with all they need, into a folder that chroot can enter. Nothing is configured: the
 * servers need none of it, and it takes ten seconds so.
 */
export function debianRoot(name: string, release: string, packages: readonly string[]): Promise<string> {
  return installOnce(name, [release, ...packages].join(' '), async (directory) => {
    await apt('mmdebstrap');
    // The machine's own mirror, and the way it reaches it.
    const mirror =
      (await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages', 'Codename: bookworm'])).split('\n')[0] ??
      '';
    const settings = join(directory, 'apt.conf');
    writeFileSync(settings, await run('apt-config', ['dump', 'Acquire']));
    const source = `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${release} main`;
    const include = ['base-files', 'dash', ...packages].join(',');
    const root = join(directory, 'root');
    await run('mmdebstrap', ['--quiet', '--variant=extract', `--aptopt=${settings}`, `--include=${include}`, release, root, source], {
      env: NONINTERACTIVE,
    });
    writeFileSync(join(root, 'etc', 'passwd'), 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n');
  }).then((directory) => join(directory, 'root'));
}

function isInstalled(name: string): boolean {
  const { stdout } = spawnSync('dpkg-query', ['--show', '--showformat=${db:Status-Status}', name], { encoding: 'utf8' });
  return stdout === 'installed';
}

async function install(packages: readonly string[]): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error(`needs root, or first: apt-get install ${packages.join(' ')}`);
  await withoutAutostart(async () => {
    await run('apt-get', ['update', '-qq', '-o', 'DPkg::Lock::Timeout=300'], { env: NONINTERACTIVE });
    const options = ['-y', '-qq', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300'];
    await run('apt-get', ['install', ...options, ...packages], { env: NONINTERACTIVE });
  });
}

/** Debian starts servers when it installs them; ours run on ports of their own. */
async function withoutAutostart(work: () => Promise<void>): Promise<void> {
  const ours = !existsSync(NO_AUTOSTART);
  if (ours) writeFileSync(NO_AUTOSTART, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await work();
  } finally {
    if (ours) rmSync(NO_AUTOSTART);
  }
}

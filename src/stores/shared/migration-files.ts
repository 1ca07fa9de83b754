import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '../../../migrations');

export interface MigrationFile {
  /** Numbered from 1, without gaps. */
  readonly version: number;
  readonly name: string;
  readonly text: string;
}

/** The files of migrations/{folder}/, named NNN_name.{extension}. The database notes which of them were run. */
export class MigrationFiles {
  readonly all: readonly MigrationFile[];

  constructor(folder: string) {
    this.all = readdirSync(join(ROOT, folder))
      .filter((name) => /^\d{3}_/.test(name))
      .sort()
      .map((name) => ({ version: Number(name.slice(0, 3)), name, text: readFileSync(join(ROOT, folder, name), 'utf8') }));
  }

  /** The newest version that this release knows. */
  get newest(): number {
    return this.all.length;
  }

  /** The names of the migrations that a schema of this version still needs. */
  pending(version: number): string[] {
    return this.all.slice(version).map(({ name }) => name);
  }

  /** What is wrong with a schema of this version; null if nothing is. */
  problem(version: number): string | null {
    if (version > this.newest) return `the schema has version ${version}, this release knows ${this.newest}: upgrade emqx-offline-store`;
    if (version < this.newest) return `the schema has version ${version} of ${this.newest}: run "emqx-offline-store migrate"`;
    return null;
  }
}

import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { apt } from './debian';
import { installOnce } from './once';
import { isOnPath, run } from './run';

/** A Maven artifact and all that it needs, as jars in one folder. @returns the folder. */
export async function maven(
  name: string,
  artifact: { readonly group: string; readonly id: string; readonly version: string },
): Promise<string> {
  // A JDK, not a JRE: DynamoDB's launcher is compiled when it starts.
  await apt(...(isOnPath('javac') ? [] : ['openjdk-17-jdk-headless']), ...(isOnPath('mvn') ? [] : ['maven']));
  const { group, id, version } = artifact;
  const directory = await installOnce(name, `${group}:${id}:${version}`, async (path) => {
    writeFileSync(
      join(path, 'pom.xml'),
      `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId><artifactId>${name}</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>${group}</groupId><artifactId>${id}</artifactId><version>${version}</version></dependency>
  </dependencies>
</project>
`,
    );
    await run('mvn', ['-q', '-B', 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies', '-DoutputDirectory=lib'], {
      cwd: path,
    });
  });
  return join(directory, 'lib');
}

/** Builds the program in the Go file `main`, which uses one module. @returns the program's file. */
export async function go(main: string, uses: { readonly module: string; readonly version: string }): Promise<string> {
  const name = basename(main, '.go');
  const source = readFileSync(main, 'utf8');
  const directory = await installOnce(name, `${uses.module}@${uses.version}\n${source}`, async (cwd) => {
    if (!isOnPath('go')) throw new Error('needs Go 1.22 or newer (Debian 12 has 1.19)');
    writeFileSync(join(cwd, 'go.mod'), `module tests\n\ngo 1.22\n\nrequire ${uses.module} ${uses.version}\n`);
    writeFileSync(join(cwd, 'main.go'), source);
    await run('go', ['build', '-mod=mod', '-o', name, '.'], { cwd });
  });
  return join(directory, name);
}

/** Builds a program that a Go module has as a package of its own. @returns the program's file. */
export async function goProgram(name: string, path: string, version: string): Promise<string> {
  const directory = await installOnce(name, `${path}@${version}`, async (cwd) => {
    if (!isOnPath('go')) throw new Error('needs Go 1.22 or newer (Debian 12 has 1.19)');
    await run('go', ['install', `${path}@${version}`], { cwd, env: { GOBIN: cwd } });
  });
  return join(directory, name);
}

/** An npm package that is too big for devDependencies. @returns the folder to require it from. */
export function npm(name: string, version: string): Promise<string> {
  return installOnce(name, version, async (directory) => {
    const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
    writeFileSync(join(directory, 'package.json'), '{"private":true}');
    await run('npm', ['install', ...options, '--prefix', directory, `${name}@${version}`], { cwd: directory });
  });
}

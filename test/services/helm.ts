import { join } from 'node:path';
import { goProgram } from './registries';
import { run } from './run';
import { SOFTWARE, type Service } from './service';

const NAME = 'helm';

/** The program's file, once it is installed. */
export const HELM = join(SOFTWARE, NAME, NAME);

/** Not a server: the tests render the chart with it. */
export const helm: Service = {
  name: NAME,
  variables: {},
  async install() {
    await goProgram(NAME, 'helm.sh/helm/v3/cmd/helm', 'v3.16.4');
  },
  start: () => Promise.resolve(),
  async check() {
    await run(HELM, ['version']);
  },
};

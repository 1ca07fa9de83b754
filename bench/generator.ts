/** The process that ingest.ts has the load from. */
import { offerLoad, type Load } from './load';

process.once('message', (load: Load) => void offerLoad(load).then((outcome) => process.send?.(outcome)));

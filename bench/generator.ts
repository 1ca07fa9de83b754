/** The process that produces the load for ingest.ts. */
import { offerLoad, type Load } from './load';

process.once('message', (load: Load) => void offerLoad(load).then((outcome) => process.send?.(outcome)));

import { clients } from './clients';
import { limits } from './limits';
import { losses } from './losses';
import { mainFlow } from './main-flow';
import { neighbours } from './neighbours';
import { offlineOnly } from './offline-only';
import { promises } from './promises';
import { pubsub } from './pubsub';
import { resuming } from './resuming';
import { retained } from './retained';

/** The suites that every store must pass. */
export const EVERYWHERE = [mainFlow, promises, pubsub, limits, clients, retained, offlineOnly, resuming, losses, neighbours];

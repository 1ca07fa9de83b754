import { clients } from './clients';
import { limits } from './limits';
import { mainFlow } from './main-flow';
import { offlineOnly } from './offline-only';
import { promises } from './promises';
import { pubsub } from './pubsub';
import { retained } from './retained';

/** What every choice of store must pass. */
export const EVERYWHERE = [mainFlow, promises, pubsub, limits, clients, retained, offlineOnly];

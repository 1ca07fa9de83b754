import type { DeliveryRequest } from '../../lanes/jobs';
import type { SharedState } from '../../lanes/state';
import { recallWish } from './wishes';

/**
 * Whether the client has unsubscribed since it asked. EMQX would take what is sent to its inbox all the same: that is another subscription.
 * Known with the rules that tell of session.unsubscribed, for ten minutes.
 */
export async function hasLeft(state: Pick<SharedState, 'get'>, { clientid, filter, at }: DeliveryRequest): Promise<boolean> {
  const wish = await recallWish(state, clientid, filter);
  return wish !== null && wish.made.qos === null && wish.made.at > at;
}

/**
 * Two times in one (ms). A message that was published before a subscription may arrive at the server this long after it
 * (promise 5). And a message that was sent is not sent to another consumer for this long (promise 9).
 */
export const GRACE_MS = 10_000;

/**
 * Two subscribe events of a client within this time (ms) are one storm: the client subscribed twice, or the broker and
 * the client both restored the subscription. Messages that were sent for the first event are not sent again for the
 * second (promise 9).
 */
export const STORM_MS = 2_000;

/**
 * A message that is in none of EMQX's lists counts as lost after this time (ms). EMQX's message.acked arrives up to 60
 * ms after the message has left the lists, and later on a busy machine.
 */
export const ON_ITS_WAY_MS = 1_000;

/**
 * The same where EMQX can't list what it holds (ms). Nothing counts as lost while acknowledgements come within this
 * time of each other.
 */
export const SILENCE_MS = 2_000;

/**
 * When a client acknowledges nothing for this long (ms), EMQX is asked what became of its copies. The shorter time
 * holds when other messages wait for room in the window.
 */
export const STALLED_MS = 30_000;
export const STALLED_FULL_MS = 10_000;

/**
 * A copy for a group may be in any member's session, and the members' lists are not read. If such copies keep other
 * messages from being sent, they count as lost after this time (ms).
 */
export const GROUP_LOST_MS = 60_000;

/**
 * How long the id of a removed message is remembered (ms), so that a late or repeated publish event does not bring the
 * message back (promises 2 and 3).
 */
export const TOMBSTONE_MS = 15 * 60_000;

/** A mailbox in which nothing happens is deleted after this time (ms). The next subscription starts a new one. */
export const MAILBOX_TTL_MS = 3_600_000;
/**
 * A mailbox with copies for a session that outlives its connection is kept as long as the session, but at most this
 * long (ms).
 */
export const MOST_TTL_MS = 30 * 86_400_000;

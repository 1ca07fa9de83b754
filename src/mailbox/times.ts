/**
 * How long after a subscription a message published before it may still arrive here (promise 5), and how long a message that was
 * sent is not sent to anybody else (promise 9). ms.
 */
export const GRACE_MS = 10_000;

/**
 * Two subscribe events of a client within this time are one storm: it subscribed twice, or broker and client both restored the subscription; what
 * was sent for the first is not sent again for the second (promise 9). ms.
 */
export const STORM_MS = 2_000;

/**
 * EMQX's message.acked arrives up to 60 ms after the message has left the lists of what EMQX holds (facts); on a busy machine more. What is in no list is
 * taken for lost after so long. ms.
 */
export const ON_ITS_WAY_MS = 1_000;

/** The same where EMQX can't tell what it holds: as long as acknowledgements come within this time, nothing is taken for lost. ms. */
export const SILENCE_MS = 2_000;

/** When a client acknowledges nothing for so long, EMQX is asked what became of its copies: sooner where they keep others from being sent. ms. */
export const STALLED_MS = 30_000;
export const STALLED_FULL_MS = 10_000;

/**
 * A copy that EMQX gave to a group may be with any of its members, whose lists are not looked at: where it keeps others from being sent it is taken for
 * lost after so long. ms.
 */
export const GROUP_LOST_MS = 60_000;

/** How long the id of a removed message is remembered, so that its publish, late or repeated, does not come back (promises 2, 3). ms. */
export const TOMBSTONE_MS = 15 * 60_000;

/** A mailbox in which nothing happens is forgotten after so long; the next subscription starts a new one. ms. */
export const MAILBOX_TTL_MS = 3_600_000;
/** One that holds copies for a session that outlives its connection is kept as long as the session, at most so long. ms. */
export const MOST_TTL_MS = 30 * 86_400_000;

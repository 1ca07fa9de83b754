/**
 * How long after a subscription a message published before it may still arrive here (promise 5), and how long a message that was
 * sent is not sent to anybody else (promise 9). ms.
 */
export const GRACE_MS = 10_000;

/**
 * Two subscribe events of a client within this time are one storm: it subscribed twice, or with overlapping filters, or broker and
 * client both restored the subscription; what was sent for the first is not sent again for the second (promise 9). After a longer
 * time the client is taken to have lost what it has not acknowledged. ms.
 */
export const STORM_MS = 2_000;

/** How long the id of a removed message is remembered, so that its publish, late or repeated, does not come back (promises 2, 3). ms. */
export const TOMBSTONE_MS = 15 * 60_000;

/** A window that nothing has moved for so long is forgotten; the next subscription starts a new one. ms. */
export const WINDOW_TTL_MS = 3_600_000;

/**
 * A consumer's position says that it will pass an id so long before it does: a write under way is stored by then, one that begins later
 * finds the announcement (promise 17). ms.
 */
export const ANNOUNCED_MS = 4_000;

/** Lua scripts that read one key and then write it atomically. */

/** KEYS[1]: a message's hash. ARGV: fields. A hash that is there stays. */
export const CREATE = `if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1`;

/**
 * KEYS[1]: the hash of a message of EMQX's. ARGV: when it expires (ms), or ''. It has no time to live afterwards. Returns 0 if Redis has
 * expired it meanwhile.
 */
export const ADOPT = `if redis.call('HEXISTS', KEYS[1], 'topic') == 0 then return 0 end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'expires_at', ARGV[1]) end
redis.call('PERSIST', KEYS[1])
return 1`;

/**
 * KEYS[1]: the hash of a retained message of EMQX's. ARGV: the topic and the id that it gets if it has none. Returns 0
 * if it has expired.
 */
export const ADOPT_RETAINED = `if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSETNX', KEYS[1], 'topic', ARGV[1])
redis.call('HSETNX', KEYS[1], 'id', ARGV[2])
return 1`;

/**
 * KEYS[1]: a retained message's hash. ARGV: time and id of another message. Ends the script if the stored message is
 * newer.
 */
const UNLESS_NEWER = `local held = redis.call('HMGET', KEYS[1], 'id', 'ts')
local at, time = tonumber(held[2] or '0') or 0, tonumber(ARGV[1])
if held[1] and (at > time or (at == time and held[1] > ARGV[2])) then return 0 end`;

/**
 * KEYS[1]: a retained message's hash. ARGV: its time and id, then fields. Stored unless the present message is newer.
 */
export const RETAIN = `${UNLESS_NEWER}
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return 1`;

/** KEYS[1]: a retained message's hash. ARGV: a time and an id. Deleted unless the stored message is newer. */
export const FORGET = `${UNLESS_NEWER}
return redis.call('DEL', KEYS[1])`;

/**
 * KEYS[1]: a consumer's positions. ARGV: topic, version, value ('' to delete it). Returns 0 if the stored position has
 * a greater version, and so stays. Lua calculates with doubles, which can hold every version.
 */
export const PUT_POSITION = `local held = redis.call('HGET', KEYS[1], ARGV[1])
local version = held and string.match(held, '^{"version":(%d+)')
if version and tonumber(version) > tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1`;

/**
 * KEYS[1]: the times of a client's subscriptions. ARGV: a topic filter, when an event reported it (ms), and 1 if the
 * subscription is there without a time. An assigned subscription has 'assigned' in place of a time. One that EMQX or an
 * earlier release has assigned gets it here.
 */
export const REPORT = `local time = redis.call('HGET', KEYS[1], ARGV[1])
if time == 'assigned' then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], (time or ARGV[3] ~= '1') and ARGV[2] or 'assigned')
return 1`;

/** KEYS[1]: a hash. ARGV: a field, and the value that it must have. Returns 1 if the field was deleted. */
export const FORGET_FIELD = `if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])`;

/** KEYS[1]: a hash. ARGV: a field. Deletes the field, and returns the value that it had. */
export const TAKE_FIELD = `local value = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return value`;

/** KEYS[1]: a client's hash. ARGV: the time of its state, as it was read. Returns 1 if the hash was deleted. */
export const FORGET_CLIENT = `if (redis.call('HGET', KEYS[1], 'changed_at') or '') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`;

/** KEYS[1]: a sorted set. ARGV: a member, and its greatest allowed score. Removed unless it was seen again. */
export const FORGET_MEMBER = `local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) > tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])`;

/** KEYS[1]: a client's hash. ARGV: when the event happened, then fields. Written unless the stored state is newer. */
export const CHANGE = `if tonumber(redis.call('HGET', KEYS[1], 'changed_at') or '0') > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'changed_at', unpack(ARGV))
return 1`;

/** Lua scripts that read one key and then write it atomically. */

/**
 * KEYS[1]: a message's hash. ARGV: when Redis may delete it by itself (ms; 0: never), then fields. Returns 1 if the
 * message is new.
 */
export const CREATE = `if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if ARGV[1] ~= '0' then redis.call('PEXPIREAT', KEYS[1], ARGV[1]) end
return 1`;

/** KEYS[1]: a tombstone. ARGV: until when it is valid, and how long that is (ms). */
export const BURY = `if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end return 1`;

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

/** KEYS[1]: a hash. ARGV: a field and its new value. Written only if the field exists. */
export const REFRESH = `if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1`;

/** KEYS[1]: a hash. ARGV: a field, and the value that it must have. Returns 1 if the field was deleted. */
export const FORGET_FIELD = `if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])`;

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

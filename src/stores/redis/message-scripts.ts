import { FIELDS } from './rows';

/**
 * Lua scripts for messages. A script runs alone: no other command comes between its steps. SAVE, DUE_TOPICS_OF and
 * REMOVE concern the keys of many messages, so they need a server that has all keys. The others concern one key, so
 * they also run on a cluster.
 */

/** How many items of its list SAVE needs for a message. FIELDS[0] is the id. */
const PER_MESSAGE = 4 + FIELDS.length;

/**
 * isBuried(): whether the id has a valid tombstone in `lives` (Keys.lives). bury(): gives ids tombstones until `till`;
 * one that is valid for longer stays. begin(): enters messages as {expires, id, expires, id, ...} and returns whether
 * all of their ids are new. An entry that is there stays, but an expired tombstone gives way.
 */
const LIVES = `local function isBuried(lives, now, id)
  local score = tonumber(redis.call('ZSCORE', lives, id) or 0)
  return score < 0 and -score > tonumber(now)
end
local function bury(lives, till, ids)
  for _, id in ipairs(ids) do
    local score = tonumber(redis.call('ZSCORE', lives, id) or 0)
    if score > -tonumber(till) then redis.call('ZADD', lives, '-' .. till, id) end
  end
end
local function begin(lives, now, entries)
  if redis.call('ZADD', lives, 'NX', unpack(entries)) == #entries / 2 then return true end
  for i = 2, #entries, 2 do
    local score = tonumber(redis.call('ZSCORE', lives, entries[i]))
    if score < 0 and -score <= tonumber(now) then redis.call('ZADD', lives, entries[i - 1], entries[i]) end
  end
  return false
end
`;

/**
 * ARGV: lives' key, topics' key, the time (ms), and a packed list. It has for each topic: its set's key, the topic, the
 * number of its messages, and for each of these: its hash's key, its score in the set, when it expires, the values of
 * FIELDS, and a list of more fields. No id comes twice. The entries of a message that is stored already are written
 * again, in case an error has kept them from being written.
 */
export const SAVE = `${LIVES}local lives, topics, now, list = ARGV[1], ARGV[2], ARGV[3], cmsgpack.unpack(ARGV[4])
local size = #list
local function eachTopic(work)
  local at = 1
  while at < size do
    local first, last = at + 3, at + 2 + ${PER_MESSAGE} * list[at + 2]
    work(list[at], list[at + 1], first, last)
    at = last + 1
  end
end
local entries, count = {}, 0
eachTopic(function(_, _, first, last)
  for at = first, last, ${PER_MESSAGE} do
    entries[count + 1], entries[count + 2] = list[at + 2], list[at + 3]
    count = count + 2
  end
end)
local areNew = begin(lives, now, entries)
local names = {}
eachTopic(function(set, topic, first, last)
  local members, count = {}, 0
  for at = first, last, ${PER_MESSAGE} do
    local hash, id = list[at], list[at + 3]
    if areNew or not isBuried(lives, now, id) then
      if areNew or redis.call('EXISTS', hash) == 0 then
        redis.call('HSET', hash, ${FIELDS.map((name, i) => `'${name}', list[at + ${i + 3}]`).join(', ')}, unpack(list[at + ${FIELDS.length + 3}]))
      end
      members[count + 1], members[count + 2] = list[at + 1], id
      count = count + 2
    end
  end
  if count > 0 then
    redis.call('ZADD', set, unpack(members))
    names[#names + 1] = '0'
    names[#names + 1] = topic
  end
end)
if #names > 0 then redis.call('ZADD', topics, unpack(names)) end
return 1`;

/**
 * ARGV[1]: packed {lives' key, topics' key, now, until when tombstones are valid, or '' for none, ids, keys of their hashes, topics}, each
 * topic {its set's key, topic, ids}. Returns how many messages were stored. Without new tombstones those that are valid stay.
 */
export const REMOVE = `${LIVES}local lives, topics, now, till, ids, hashes, groups = unpack(cmsgpack.unpack(ARGV[1]))
local removed = redis.call('DEL', unpack(hashes))
if till == '' then
  for _, id in ipairs(ids) do
    if not isBuried(lives, now, id) then redis.call('ZREM', lives, id) end
  end
elseif removed == #ids then
  local entries = {}
  for i, id in ipairs(ids) do entries[2 * i - 1], entries[2 * i] = '-' .. till, id end
  redis.call('ZADD', lives, unpack(entries))
else
  bury(lives, till, ids)
end
local empty = {}
for _, group in ipairs(groups) do
  redis.call('ZREM', group[1], unpack(group[3]))
  if redis.call('EXISTS', group[1]) == 0 then empty[#empty + 1] = group[2] end
end
if #empty > 0 then redis.call('ZREM', topics, unpack(empty)) end
return removed`;

/**
 * ARGV: lives' key, the time (ms), and packed {ids, keys of their hashes}. Returns the topics of the messages; '' for
 * one that is not stored, or whose entry in lives is not due.
 */
export const DUE_TOPICS_OF = `local topics, lists = {}, cmsgpack.unpack(ARGV[3])
for i, hash in ipairs(lists[2]) do
  local score = tonumber(redis.call('ZSCORE', ARGV[1], lists[1][i]) or 0)
  topics[i] = math.abs(score) <= tonumber(ARGV[2]) and redis.call('HGET', hash, 'topic') or ''
end
return topics`;

/** KEYS[1]: lives. ARGV: the time (ms), then entries for begin(). Returns the ids that have a valid tombstone. */
export const BEGIN = `${LIVES}local entries = {unpack(ARGV, 2)}
local buried = {}
if begin(KEYS[1], ARGV[1], entries) then return buried end
for i = 2, #entries, 2 do
  if isBuried(KEYS[1], ARGV[1], entries[i]) then buried[#buried + 1] = entries[i] end
end
return buried`;

/** KEYS[1]: lives. ARGV: until when new tombstones are valid (ms), then ids. */
export const BURY = `${LIVES}bury(KEYS[1], ARGV[1], {unpack(ARGV, 2)})
return 1`;

/** KEYS[1]: lives. ARGV: the time (ms), then ids. Valid tombstones stay. */
export const END = `${LIVES}for i = 2, #ARGV do
  if not isBuried(KEYS[1], ARGV[1], ARGV[i]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return 1`;

/**
 * KEYS[1]: a topic's set. ARGV: an id, its score, and a number. Returns up to that many ids after the given one. Where many ids have its
 * score, the first of them after it is found by halves. Lua itself would compare by the server's language, not by bytes.
 */
export const IDS_AFTER = `local function isAfter(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x > y end
  end
  return #a > #b
end
local set, after, score = KEYS[1], ARGV[1], ARGV[2]
local first = redis.call('ZCOUNT', set, '-inf', '(' .. score)
local last = first + redis.call('ZCOUNT', set, score, score)
while first < last do
  local middle = math.floor((first + last) / 2)
  if isAfter(redis.call('ZRANGE', set, middle, middle)[1], after) then last = middle else first = middle + 1 end
end
return redis.call('ZRANGE', set, first, first + ARGV[3] - 1)`;

-- Messages, in the table of EMQX's own backend. ClickHouse has no transactions: every statement may run again after it was interrupted.
-- A statement below a line "-- when: QUERY" runs only where the query counts something.

-- A table that EMQX filled is ordered by msgid, which finds no topic, and the order of a table cannot be changed. Its rows are copied
-- into a new one and the two change names; the old one stays as mqtt_msg_emqx, to be dropped by hand.

-- An exchange of names that was interrupted half way starts over.
-- when: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_msg_emqx' AND 'mqtt_msg' NOT IN (SELECT name FROM system.tables WHERE database = currentDatabase())
RENAME TABLE mqtt_msg_emqx TO mqtt_msg;

DROP TABLE IF EXISTS mqtt_msg_new;

CREATE TABLE mqtt_msg_new (
  msgid          String,
  sender         String,
  topic          String,
  qos            Nullable(Int8),
  retain         Nullable(Int8),
  payload        String,             -- '' where payload_base64 has it
  arrived        Int64,              -- ms since 1970
  payload_base64 Nullable(String),   -- the payload where it is not UTF-8
  username       Nullable(String),
  properties     Nullable(String),   -- MQTT 5 properties, JSON
  published_at   Nullable(Int64),    -- ms since 1970; null: arrived says it
  expires_at     Nullable(Int64),    -- ms since 1970; null: never
  msgid_before   Nullable(String),   -- EMQX's msgid where it had to change
  stored_at      UInt64 DEFAULT toUInt64(toUnixTimestamp(now())) * 1000000  -- microseconds; see mqtt_removed
) ENGINE = MergeTree ORDER BY (topic, msgid) SETTINGS index_granularity = 256;

-- Rows with an id of their own. Some of EMQX's tables have whole seconds in arrived.
-- when: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_msg' AND name NOT IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'stored_at')
INSERT INTO mqtt_msg_new (msgid, sender, topic, qos, retain, payload, arrived, published_at, stored_at)
  SELECT ifNull(msgid, ''), ifNull(sender, ''), ifNull(topic, ''), qos, retain, ifNull(payload, ''), ifNull(arrived, 0),
    if(ifNull(arrived, 0) BETWEEN 1 AND 99999999999, ifNull(arrived, 0) * 1000, ifNull(arrived, 0)), 1
  FROM mqtt_msg
  WHERE match(ifNull(msgid, ''), '^[0-9A-Za-z_-]{1,64}$')
    AND ifNull(msgid, '') NOT IN (SELECT ifNull(msgid, '') AS id FROM mqtt_msg GROUP BY id HAVING count() > 1);

-- The same message stored more than once becomes one, the oldest. Another row with the msgid of an older one gets a new one, by which it
-- sorts where it belongs: 16 hex digits of microseconds, as EMQX's own begin, and 16 of a number.
-- when: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_msg' AND name NOT IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'stored_at')
INSERT INTO mqtt_msg_new (msgid, sender, topic, qos, retain, payload, arrived, published_at, msgid_before, stored_at)
  SELECT if(n = 1, id, concat(substring(concat('0000000000000000', hex(toUInt64(ms * 1000))), length(hex(toUInt64(ms * 1000))) + 1, 16),
      'D', substring(concat('0000000000000000', hex(cityHash64(id, n))), length(hex(cityHash64(id, n))) + 2, 15))),
    of_sender, of_topic, if(of_qos = 127, NULL, of_qos), if(of_retain = 127, NULL, of_retain), of_payload, of_arrived, ms, if(n = 1, NULL, id), 1
  FROM (
    SELECT id, n, each.1 AS of_arrived, each.2 AS of_sender, each.3 AS of_topic, each.4 AS of_qos, each.5 AS of_retain, each.6 AS of_payload,
      if(each.1 BETWEEN 1 AND 99999999999, each.1 * 1000, greatest(each.1, 0)) AS ms
    FROM (
      SELECT id, arraySort(groupArray((first_arrived, of_sender, of_topic, of_qos, of_retain, of_payload))) AS same
      FROM (
        SELECT ifNull(msgid, '') AS id, ifNull(sender, '') AS of_sender, ifNull(topic, '') AS of_topic, ifNull(qos, toInt8(127)) AS of_qos,
          ifNull(retain, toInt8(127)) AS of_retain, ifNull(payload, '') AS of_payload, min(toInt64(ifNull(arrived, 0))) AS first_arrived
        FROM mqtt_msg
        WHERE match(ifNull(msgid, ''), '^[0-9A-Za-z_-]{1,64}$')
          AND ifNull(msgid, '') IN (SELECT ifNull(msgid, '') AS id FROM mqtt_msg GROUP BY id HAVING count() > 1)
        GROUP BY id, of_sender, of_topic, of_qos, of_retain, of_payload
      ) GROUP BY id
    ) ARRAY JOIN same AS each, arrayEnumerate(same) AS n
  );

-- A row without a msgid, or with one that could not come back in an acknowledgement, gets one in the same way.
-- when: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_msg' AND name NOT IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'stored_at')
INSERT INTO mqtt_msg_new (msgid, sender, topic, qos, retain, payload, arrived, published_at, msgid_before, stored_at)
  SELECT concat(substring(concat('0000000000000000', hex(toUInt64(ms * 1000))), length(hex(toUInt64(ms * 1000))) + 1, 16),
      substring(concat('0000000000000000', hex(toUInt64(number))), length(hex(toUInt64(number))) + 1, 16)),
    of_sender, of_topic, of_qos, of_retain, of_payload, of_arrived, ms, if(id = '', NULL, id), 1
  FROM (
    SELECT ifNull(msgid, '') AS id, ifNull(sender, '') AS of_sender, ifNull(topic, '') AS of_topic, qos AS of_qos, retain AS of_retain,
      ifNull(payload, '') AS of_payload, toInt64(ifNull(arrived, 0)) AS of_arrived, rowNumberInAllBlocks() AS number,
      if(of_arrived BETWEEN 1 AND 99999999999, of_arrived * 1000, greatest(of_arrived, 0)) AS ms
    FROM mqtt_msg WHERE NOT match(ifNull(msgid, ''), '^[0-9A-Za-z_-]{1,64}$')
  );

-- when: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_msg' AND name NOT IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'stored_at')
RENAME TABLE mqtt_msg TO mqtt_msg_emqx, mqtt_msg_new TO mqtt_msg;

-- On a new database nothing was there to be copied.
-- when: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'mqtt_msg_new' AND 'mqtt_msg' NOT IN (SELECT name FROM system.tables WHERE database = currentDatabase())
RENAME TABLE mqtt_msg_new TO mqtt_msg;

DROP TABLE IF EXISTS mqtt_msg_new;

-- What was removed. A row of mqtt_msg is gone once a row here has the same topic and msgid and its removed_at, or its until, is not before
-- the message's stored_at. So it does not matter which of the two came first. Rows with stored_at name the row of mqtt_msg that they end:
-- purging deletes those. Who comes first here has removed it.
CREATE TABLE IF NOT EXISTS mqtt_removed (
  topic      String,
  msgid      String,
  removed_at UInt64,  -- microseconds since 1970
  until      UInt64,  -- ms: the id must not come back before
  stored_at  UInt64,  -- of the row of mqtt_msg; 0: there was none
  owner      String   -- a random name of the one who removed it
) ENGINE = MergeTree ORDER BY (topic, msgid) SETTINGS index_granularity = 256;

-- Up to where purging has followed a table.
CREATE TABLE IF NOT EXISTS mqtt_swept (
  name       String,
  removed_at UInt64
) ENGINE = ReplacingMergeTree(removed_at) ORDER BY name;

-- Which topics there are: written before their messages. A topic without messages may be left for a while.
CREATE TABLE IF NOT EXISTS mqtt_topic (
  topic   String,
  last_id String,  -- of the newest message of the last batch: as long as it is there, the topic has messages
  seen_at UInt64   -- microseconds since 1970
) ENGINE = ReplacingMergeTree(seen_at) ORDER BY topic SETTINGS index_granularity = 256;

INSERT INTO mqtt_topic SELECT topic, max(msgid), 1 FROM mqtt_msg GROUP BY topic;

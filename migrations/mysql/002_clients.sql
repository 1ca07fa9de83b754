-- Client state, subscriptions, retained messages and read positions, in the tables of EMQX's own backends (taken over as in 001).
-- Client ids and topics may have 65,535 bytes, too long for an index: the unique keys are over their hashes.

CREATE TABLE IF NOT EXISTS mqtt_client (
  id         bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  clientid   varchar(64) DEFAULT NULL,
  state      varchar(3) DEFAULT NULL,      -- 1: connected, 0: disconnected
  node       varchar(100) DEFAULT NULL,
  online_at  datetime DEFAULT NULL,
  offline_at datetime DEFAULT NULL,
  created    timestamp NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless column mqtt_client.client_key
-- drop indexes mqtt_client (clientid)
ALTER TABLE mqtt_client
  ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  MODIFY clientid text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY state varchar(3) DEFAULT NULL,
  MODIFY node text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY online_at datetime(3) DEFAULT NULL,
  MODIFY offline_at datetime(3) DEFAULT NULL,
  ADD COLUMN changed_at bigint,            -- ms, of the event that told the state
  ADD COLUMN client_key binary(32) GENERATED ALWAYS AS (UNHEX(SHA2(CAST(clientid AS BINARY), 256))) VIRTUAL,
  ADD KEY mqtt_client_same (client_key);

-- unless index mqtt_client.mqtt_client_client_key
UPDATE mqtt_client
  SET changed_at = ROUND(UNIX_TIMESTAMP(GREATEST(COALESCE(online_at, offline_at), COALESCE(offline_at, online_at))) * 1000)
  WHERE changed_at IS NULL;
DELETE older FROM mqtt_client older JOIN mqtt_client newer ON older.client_key = newer.client_key
  WHERE (COALESCE(older.changed_at, 0), older.id) < (COALESCE(newer.changed_at, 0), newer.id);
ALTER TABLE mqtt_client ADD UNIQUE KEY mqtt_client_client_key (client_key), DROP KEY mqtt_client_same;

CREATE TABLE IF NOT EXISTS mqtt_sub (
  id       bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  clientid varchar(64) DEFAULT NULL,
  topic    varchar(180) DEFAULT NULL,
  qos      tinyint(1) DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless column mqtt_sub.topic_hash
-- drop indexes mqtt_sub (clientid, topic)

-- unless column mqtt_sub.id
ALTER TABLE mqtt_sub ADD COLUMN id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY;

-- unless column mqtt_sub.topic_hash
ALTER TABLE mqtt_sub
  ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  MODIFY clientid text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY topic text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY qos tinyint DEFAULT NULL,
  ADD COLUMN client_key binary(32) GENERATED ALWAYS AS (UNHEX(SHA2(CAST(clientid AS BINARY), 256))) VIRTUAL,
  ADD COLUMN topic_hash    binary(32) GENERATED ALWAYS AS (UNHEX(SHA2(CAST(topic AS BINARY), 256))) VIRTUAL,
  ADD KEY mqtt_sub_same (client_key, topic_hash);

-- unless index mqtt_sub.mqtt_sub_client_key_topic_hash
DELETE older FROM mqtt_sub older JOIN mqtt_sub newer ON older.client_key = newer.client_key AND older.topic_hash = newer.topic_hash AND older.id < newer.id;
ALTER TABLE mqtt_sub ADD UNIQUE KEY mqtt_sub_client_key_topic_hash (client_key, topic_hash), DROP KEY mqtt_sub_same;

CREATE TABLE IF NOT EXISTS mqtt_retain (
  id      bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  topic   varchar(200) DEFAULT NULL,
  msgid   varchar(60) DEFAULT NULL,
  sender  varchar(100) DEFAULT NULL,
  node    varchar(100) DEFAULT NULL,
  qos     tinyint(1) DEFAULT NULL,
  payload blob,
  arrived timestamp NULL DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless column mqtt_retain.topic_key
-- drop indexes mqtt_retain (topic, msgid, sender)
ALTER TABLE mqtt_retain
  ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  MODIFY topic text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY msgid varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  MODIFY sender text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY payload longblob,
  MODIFY arrived datetime(3) DEFAULT NULL,
  ADD COLUMN username     text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  ADD COLUMN properties   longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  ADD COLUMN published_at bigint,
  ADD COLUMN expires_at   bigint,
  ADD COLUMN topic_key    varbinary(700) GENERATED ALWAYS AS (LEFT(CAST(topic AS BINARY), 700)) VIRTUAL,
  ADD COLUMN topic_hash   binary(32) GENERATED ALWAYS AS (UNHEX(SHA2(CAST(topic AS BINARY), 256))) VIRTUAL,
  ADD KEY mqtt_retain_same (topic_hash);

-- The newest of a topic is the one with the greatest msgid; a row without one gets its time, as in 001.
-- unless index mqtt_retain.mqtt_retain_topic_hash
UPDATE mqtt_retain
  SET msgid = CONCAT(LPAD(HEX(CAST(COALESCE(UNIX_TIMESTAMP(arrived), 0) * 1000000 AS UNSIGNED)), 16, '0'), REPEAT('0', 16))
  WHERE msgid IS NULL OR msgid = '';
DELETE older FROM mqtt_retain older JOIN mqtt_retain newer ON older.topic_hash = newer.topic_hash
  WHERE (COALESCE(older.arrived, '1000-01-01'), older.msgid, older.id) < (COALESCE(newer.arrived, '1000-01-01'), newer.msgid, newer.id);
ALTER TABLE mqtt_retain
  ADD UNIQUE KEY mqtt_retain_topic_hash (topic_hash), ADD KEY mqtt_retain_topic_key (topic_key), DROP KEY mqtt_retain_same;

CREATE TABLE IF NOT EXISTS mqtt_acked (
  id       bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  clientid varchar(200) DEFAULT NULL,
  topic    varchar(200) DEFAULT NULL,
  mid      bigint unsigned DEFAULT NULL,   -- EMQX's: mqtt_msg.id
  created  timestamp NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless column mqtt_acked.topic_key
-- drop indexes mqtt_acked (clientid, topic)
ALTER TABLE mqtt_acked
  ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  MODIFY clientid text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY topic text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY mid bigint unsigned DEFAULT NULL,
  ADD COLUMN msgid      varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,     -- everything up to this id is read
  ADD COLUMN receipts   longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,         -- ids above it that are read too, JSON
  ADD COLUMN client_key binary(32) GENERATED ALWAYS AS (UNHEX(SHA2(CAST(clientid AS BINARY), 256))) VIRTUAL,
  ADD COLUMN topic_hash binary(32) GENERATED ALWAYS AS (UNHEX(SHA2(CAST(topic AS BINARY), 256))) VIRTUAL,
  ADD COLUMN topic_key  varbinary(700) GENERATED ALWAYS AS (LEFT(CAST(topic AS BINARY), 700)) VIRTUAL,
  ADD KEY mqtt_acked_same (client_key, topic_hash);

-- EMQX's position is the number of a row; where that row is gone, the last one before it in the topic that is left.
-- unless index mqtt_acked.mqtt_acked_client_key_topic_hash
DELETE older FROM mqtt_acked older JOIN mqtt_acked newer ON older.client_key = newer.client_key AND older.topic_hash = newer.topic_hash
  WHERE (COALESCE(older.mid, 0), older.id) < (COALESCE(newer.mid, 0), newer.id);
UPDATE mqtt_acked SET msgid = (
    SELECT m.msgid FROM mqtt_msg m WHERE m.topic_key = mqtt_acked.topic_key AND m.id <= mqtt_acked.mid ORDER BY m.id DESC LIMIT 1)
  WHERE msgid IS NULL AND mid IS NOT NULL;
ALTER TABLE mqtt_acked
  ADD UNIQUE KEY mqtt_acked_client_key_topic_hash (client_key, topic_hash),
  ADD KEY mqtt_acked_client_key_topic_key (client_key, topic_key),
  ADD KEY mqtt_acked_topic_hash (topic_hash),
  DROP KEY mqtt_acked_same;

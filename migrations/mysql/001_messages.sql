-- Messages, in the table of EMQX's own backends. A table that they filled is taken over: its columns keep their names and meanings,
-- ours are added and may be null.
--
-- MySQL commits each change of a table by itself, so every step (up to the next empty line) can be repeated. Comments guide who runs it:
--   "unless column TABLE.COLUMN", "unless index TABLE.INDEX", "unless foreign key to TABLE.COLUMN": the step is for where that is missing;
--   "only with ...": the step is for where that is there;
--   "only for a new mqtt_msg": the step is left out where that table was there before the migration;
--   "drop indexes TABLE (COLUMN, ...)": before the step, EMQX's keys over these columns go: what MQTT allows is too long for them.

CREATE TABLE IF NOT EXISTS mqtt_msg (
  id      bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  msgid   varchar(64) DEFAULT NULL,
  topic   varchar(180) NOT NULL,
  sender  varchar(64) DEFAULT NULL,
  qos     tinyint(1) NOT NULL DEFAULT 0,
  retain  tinyint(1) DEFAULT NULL,
  payload blob,
  arrived datetime NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- unless column mqtt_msg.topic_key
-- drop indexes mqtt_msg (msgid, topic, sender)
ALTER TABLE mqtt_msg
  ENGINE=InnoDB, ROW_FORMAT=DYNAMIC,
  MODIFY id bigint unsigned NOT NULL AUTO_INCREMENT,
  MODIFY msgid varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  MODIFY topic text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  MODIFY sender text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY payload longblob,
  MODIFY arrived datetime(3) NOT NULL,
  ADD COLUMN username     text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  ADD COLUMN properties   longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, -- MQTT 5 properties, JSON
  ADD COLUMN published_at bigint,            -- ms since 1970; null in EMQX's own rows: arrived says it
  ADD COLUMN expires_at   bigint,            -- ms since 1970; null: never
  ADD COLUMN msgid_before varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, -- EMQX's msgid where the next step had to change it
  -- Topics compare byte for byte (the collations that MySQL and MariaDB share ignore blanks at the end), and an index has a limit.
  ADD COLUMN topic_key    varbinary(700) GENERATED ALWAYS AS (LEFT(CAST(topic AS BINARY), 700)) VIRTUAL,
  ADD KEY mqtt_msg_same (msgid),
  ADD KEY topic_index (topic(180));

-- The server's own statements don't use topic_index. It is for those who read the tables that EMQX made.
-- only for a new mqtt_msg
ALTER TABLE mqtt_msg DROP KEY topic_index;

-- msgid was not unique. The same message stored more than once becomes one, the oldest. Another row with the msgid of an older one, a
-- row without a msgid and one whose msgid could not come back in an acknowledgement gets a new one, by which it sorts where it belongs:
-- 16 hex digits of microseconds, as EMQX's own begin, and 16 of mqtt_msg.id.
-- unless index mqtt_msg.mqtt_msg_msgid
DELETE later FROM mqtt_msg later JOIN mqtt_msg first ON later.msgid = first.msgid AND later.id > first.id
    AND later.topic_key = first.topic_key AND CAST(later.topic AS BINARY) = CAST(first.topic AS BINARY)
    AND later.sender <=> first.sender AND later.qos <=> first.qos AND later.retain <=> first.retain AND later.payload <=> first.payload
  WHERE later.msgid <> '';
UPDATE mqtt_msg JOIN (SELECT later.id FROM mqtt_msg later JOIN mqtt_msg first ON later.msgid = first.msgid AND later.id > first.id GROUP BY later.id) again
    ON again.id = mqtt_msg.id
  SET msgid_before = NULLIF(msgid, ''), msgid = CONCAT(LPAD(HEX(CAST(UNIX_TIMESTAMP(arrived) * 1000000 AS UNSIGNED)), 16, '0'), LPAD(HEX(mqtt_msg.id), 16, '0'));
UPDATE mqtt_msg
  SET msgid_before = NULLIF(msgid, ''), msgid = CONCAT(LPAD(HEX(CAST(UNIX_TIMESTAMP(arrived) * 1000000 AS UNSIGNED)), 16, '0'), LPAD(HEX(id), 16, '0'))
  WHERE msgid IS NULL OR msgid = '' OR CHAR_LENGTH(msgid) > 64 OR msgid REGEXP '[^0-9A-Za-z_-]';
ALTER TABLE mqtt_msg
  ADD UNIQUE KEY mqtt_msg_msgid (msgid),
  ADD KEY mqtt_msg_topic_key_msgid (topic_key, msgid),
  ADD KEY mqtt_msg_expires_at (expires_at),
  DROP KEY mqtt_msg_same;

-- The ids of removed messages, for a while: a publish that arrives after its ack, or again, must not come back.
CREATE TABLE IF NOT EXISTS mqtt_tombstone (
  msgid      varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  expires_at bigint NOT NULL,
  KEY mqtt_tombstone_expires_at (expires_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

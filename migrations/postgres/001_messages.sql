-- Messages, in the table of EMQX's own backends. A table that they filled is taken over: its columns keep their names and
-- meanings, ours are added and may be null. Runs in one transaction.

CREATE TABLE IF NOT EXISTS mqtt_msg (
  id       bigserial PRIMARY KEY,
  msgid    text,
  sender   text,
  topic    text,
  qos      integer,
  retain   integer,
  payload  text,
  arrived  timestamp without time zone
);

-- EMQX's columns are too short for what MQTT allows (varchar to text does not rewrite the table).
ALTER TABLE mqtt_msg ALTER COLUMN msgid TYPE text, ALTER COLUMN sender TYPE text, ALTER COLUMN topic TYPE text;

ALTER TABLE mqtt_msg
  ADD COLUMN IF NOT EXISTS payload_bin  bytea,   -- the payload where text can't hold it: U+0000 or not UTF-8 (payload is null then)
  ADD COLUMN IF NOT EXISTS username     text,
  ADD COLUMN IF NOT EXISTS properties   json,    -- MQTT 5 properties
  ADD COLUMN IF NOT EXISTS published_at bigint,  -- ms since 1970; null in EMQX's own rows: arrived says it
  ADD COLUMN IF NOT EXISTS expires_at   bigint;  -- ms since 1970; null: never

-- msgid was not unique. The same message stored twice becomes one; a row without an id, or with the id of another message, gets one
-- that sorts where it belongs.
DELETE FROM mqtt_msg a USING mqtt_msg b
  WHERE a.id > b.id AND a.msgid = b.msgid AND a.topic = b.topic
    AND a.payload IS NOT DISTINCT FROM b.payload AND a.payload_bin IS NOT DISTINCT FROM b.payload_bin;
UPDATE mqtt_msg SET msgid = upper(lpad(to_hex((extract(epoch FROM coalesce(arrived, now()::timestamp)) * 1000000)::bigint), 16, '0')
                                  || lpad(to_hex(id), 16, '0'))
  WHERE msgid IS NULL OR msgid = ''
     OR EXISTS (SELECT 1 FROM mqtt_msg other WHERE other.msgid = mqtt_msg.msgid AND other.id < mqtt_msg.id);

-- Ids and topics compare byte for byte. A topic may have 65,535 bytes and an index row only 2,700: the index has its beginning.
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_msg_msgid ON mqtt_msg (msgid COLLATE "C");
CREATE INDEX IF NOT EXISTS mqtt_msg_topic_msgid ON mqtt_msg (left(topic, 500) COLLATE "C", msgid COLLATE "C");
CREATE INDEX IF NOT EXISTS mqtt_msg_expires_at ON mqtt_msg (expires_at) WHERE expires_at IS NOT NULL;

-- The ids of removed messages, for a while: a publish that arrives after its ack, or again, must not come back.
CREATE TABLE IF NOT EXISTS mqtt_tombstone (
  msgid      text COLLATE "C" PRIMARY KEY,
  expires_at bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS mqtt_tombstone_expires_at ON mqtt_tombstone (expires_at);

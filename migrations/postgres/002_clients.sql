-- Client state, subscriptions, retained messages and read positions, in the tables of EMQX's own backends (taken over as in 001).
-- Client ids and topics may have 65,535 bytes, too long for an index: the unique keys are over their hashes.

CREATE OR REPLACE FUNCTION mqtt_key(text) RETURNS bytea
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT sha256(convert_to($1, 'UTF8')) $$;

CREATE TABLE IF NOT EXISTS mqtt_client (
  id         bigserial PRIMARY KEY,
  clientid   text,
  state      integer,                      -- 1: connected, 0: disconnected
  node       text,
  online_at  timestamp without time zone,
  offline_at timestamp without time zone,
  created    timestamp without time zone DEFAULT now()
);
ALTER TABLE mqtt_client ALTER COLUMN clientid TYPE text, ALTER COLUMN node TYPE text;
ALTER TABLE mqtt_client ADD COLUMN IF NOT EXISTS changed_at bigint;  -- ms, of the event that told the state
DELETE FROM mqtt_client a USING mqtt_client b WHERE a.clientid = b.clientid AND a.id < b.id;
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_client_clientid ON mqtt_client (mqtt_key(clientid));

CREATE TABLE IF NOT EXISTS mqtt_sub (
  id       bigserial PRIMARY KEY,
  clientid text,
  topic    text,
  qos      integer
);
ALTER TABLE mqtt_sub ALTER COLUMN clientid TYPE text, ALTER COLUMN topic TYPE text;
DELETE FROM mqtt_sub a USING mqtt_sub b WHERE a.clientid = b.clientid AND a.topic = b.topic AND a.ctid < b.ctid;
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_sub_clientid_topic
  ON mqtt_sub (mqtt_key(clientid), mqtt_key(topic));

CREATE TABLE IF NOT EXISTS mqtt_retain (
  id      bigserial PRIMARY KEY,
  topic   text,
  msgid   text,
  sender  text,
  qos     integer,
  payload text,
  arrived timestamp without time zone
);
ALTER TABLE mqtt_retain ALTER COLUMN topic TYPE text, ALTER COLUMN msgid TYPE text, ALTER COLUMN sender TYPE text;
ALTER TABLE mqtt_retain
  ADD COLUMN IF NOT EXISTS payload_bin  bytea,
  ADD COLUMN IF NOT EXISTS username     text,
  ADD COLUMN IF NOT EXISTS properties   json,
  ADD COLUMN IF NOT EXISTS published_at bigint,
  ADD COLUMN IF NOT EXISTS expires_at   bigint;
DELETE FROM mqtt_retain a USING mqtt_retain b WHERE a.topic = b.topic AND a.id < b.id;
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_retain_topic ON mqtt_retain (mqtt_key(topic));
CREATE INDEX IF NOT EXISTS mqtt_retain_topic_begin ON mqtt_retain (left(topic, 500) COLLATE "C");

CREATE TABLE IF NOT EXISTS mqtt_acked (
  id       bigserial PRIMARY KEY,
  clientid text,
  topic    text,
  mid      integer,                        -- EMQX's: mqtt_msg.id
  created  timestamp without time zone DEFAULT now()
);
ALTER TABLE mqtt_acked ALTER COLUMN clientid TYPE text, ALTER COLUMN topic TYPE text, ALTER COLUMN mid TYPE bigint;
ALTER TABLE mqtt_acked
  ADD COLUMN IF NOT EXISTS msgid    text,  -- everything up to this id is read
  ADD COLUMN IF NOT EXISTS receipts json;  -- ids above it that are read too
DELETE FROM mqtt_acked a USING mqtt_acked b WHERE a.clientid = b.clientid AND a.topic = b.topic AND a.id < b.id;
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_acked_clientid_topic
  ON mqtt_acked (mqtt_key(clientid), mqtt_key(topic));
CREATE INDEX IF NOT EXISTS mqtt_acked_topic ON mqtt_acked (mqtt_key(topic));
UPDATE mqtt_acked SET msgid = (SELECT m.msgid FROM mqtt_msg m WHERE m.id = mqtt_acked.mid) WHERE msgid IS NULL;

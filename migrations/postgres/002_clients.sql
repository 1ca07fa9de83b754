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

CREATE TABLE IF NOT EXISTS mqtt_sub (
  id       bigserial PRIMARY KEY,
  clientid text,
  topic    text,
  qos      integer
);

CREATE TABLE IF NOT EXISTS mqtt_retain (
  id      bigserial PRIMARY KEY,
  topic   text,
  msgid   text,
  sender  text,
  qos     integer,
  payload text,
  arrived timestamp without time zone
);

CREATE TABLE IF NOT EXISTS mqtt_acked (
  id       bigserial PRIMARY KEY,
  clientid text,
  topic    text,
  mid      bigint,                         -- EMQX's: mqtt_msg.id
  created  timestamp without time zone DEFAULT now()
);

DO $$
DECLARE
  tables CONSTANT oid[] := ARRAY['mqtt_client'::regclass, 'mqtt_sub'::regclass, 'mqtt_retain'::regclass, 'mqtt_acked'::regclass];
  each record;
BEGIN
  FOR each IN SELECT attrelid::regclass AS name, attname FROM pg_attribute WHERE attrelid = ANY(tables)
    AND attname IN ('clientid', 'node', 'topic', 'msgid', 'sender', 'payload') AND atttypid <> 'text'::regtype AND NOT attisdropped
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE text', each.name, each.attname);
  END LOOP;

  -- EMQX's unique keys over whole client ids and topics would refuse long ones; those below take their place.
  FOR each IN SELECT indrelid::regclass AS name, indexrelid::regclass AS index, conname FROM pg_index
    LEFT JOIN pg_constraint ON conindid = indexrelid AND conrelid = indrelid AND contype IN ('p', 'u')
    WHERE indrelid = ANY(tables) AND indisunique AND EXISTS (
      SELECT 1 FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY(indkey) AND attname IN ('clientid', 'topic'))
  LOOP
    IF each.conname IS NULL THEN EXECUTE format('DROP INDEX %s', each.index);
    ELSE EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', each.name, each.conname);
    END IF;
  END LOOP;
END
$$;

ALTER TABLE mqtt_client
  ALTER COLUMN state DROP NOT NULL, ALTER COLUMN node DROP NOT NULL, ALTER COLUMN online_at DROP NOT NULL, ALTER COLUMN offline_at DROP NOT NULL,
  ADD COLUMN IF NOT EXISTS changed_at bigint;  -- ms, of the event that told the state
UPDATE mqtt_client SET changed_at = (extract(epoch FROM greatest(online_at, offline_at)::timestamptz) * 1000)::bigint
  WHERE changed_at IS NULL AND isfinite(greatest(online_at, offline_at));
DELETE FROM mqtt_client WHERE ctid IN (
  SELECT ctid FROM (
    SELECT ctid, row_number() OVER (PARTITION BY clientid ORDER BY changed_at DESC NULLS LAST, ctid DESC) AS n FROM mqtt_client WHERE clientid IS NOT NULL
  ) AS same WHERE n > 1);
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_client_clientid ON mqtt_client (mqtt_key(clientid));

DELETE FROM mqtt_sub WHERE ctid IN (
  SELECT ctid FROM (
    SELECT ctid, row_number() OVER (PARTITION BY clientid, topic ORDER BY ctid DESC) AS n FROM mqtt_sub WHERE clientid IS NOT NULL AND topic IS NOT NULL
  ) AS same WHERE n > 1);
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_sub_clientid_topic
  ON mqtt_sub (mqtt_key(clientid), mqtt_key(topic));

ALTER TABLE mqtt_retain
  ALTER COLUMN payload DROP NOT NULL,
  ADD COLUMN IF NOT EXISTS payload_bin  bytea,
  ADD COLUMN IF NOT EXISTS username     text,
  ADD COLUMN IF NOT EXISTS properties   json,
  ADD COLUMN IF NOT EXISTS published_at bigint,
  ADD COLUMN IF NOT EXISTS expires_at   bigint;
DELETE FROM mqtt_retain WHERE ctid IN (
  SELECT ctid FROM (
    SELECT ctid, row_number() OVER (PARTITION BY topic ORDER BY arrived DESC NULLS LAST, msgid COLLATE "C" DESC NULLS LAST) AS n
    FROM mqtt_retain WHERE topic IS NOT NULL
  ) AS same WHERE n > 1);
-- The newest of a topic is the one with the greatest msgid; a row without one gets its time, as in 001.
UPDATE mqtt_retain SET msgid = upper(
    lpad(to_hex((extract(epoch FROM CASE WHEN isfinite(arrived) THEN arrived::timestamptz ELSE now() END) * 1000000)::bigint), 16, '0')
    || repeat('0', 16))
  WHERE msgid IS NULL OR msgid = '';
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_retain_topic ON mqtt_retain (mqtt_key(topic));
CREATE INDEX IF NOT EXISTS mqtt_retain_topic_begin ON mqtt_retain (left(topic, 500) COLLATE "C");

ALTER TABLE mqtt_acked
  ALTER COLUMN mid TYPE bigint, ALTER COLUMN mid DROP NOT NULL,
  ADD COLUMN IF NOT EXISTS msgid    text,  -- everything up to this id is read
  ADD COLUMN IF NOT EXISTS receipts json;  -- ids above it that are read too
DELETE FROM mqtt_acked WHERE ctid IN (
  SELECT ctid FROM (
    SELECT ctid, row_number() OVER (PARTITION BY clientid, topic ORDER BY mid DESC NULLS LAST) AS n
    FROM mqtt_acked WHERE clientid IS NOT NULL AND topic IS NOT NULL
  ) AS same WHERE n > 1);
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_acked_clientid_topic
  ON mqtt_acked (mqtt_key(clientid), mqtt_key(topic));
CREATE INDEX IF NOT EXISTS mqtt_acked_topic ON mqtt_acked (mqtt_key(topic));
-- EMQX's position is the number of a row; where that row is gone, the last one before it in the topic that is left.
UPDATE mqtt_acked SET msgid = position.msgid
  FROM (
    SELECT topic, mid, coalesce(
        (SELECT m.msgid FROM mqtt_msg m WHERE m.id = seen.mid AND m.topic = seen.topic),
        (SELECT m.msgid FROM mqtt_msg m WHERE m.id <= seen.mid AND m.topic = seen.topic AND left(m.topic, 500) COLLATE "C" = left(seen.topic, 500)
           ORDER BY m.id DESC LIMIT 1)) AS msgid
    FROM (SELECT DISTINCT topic, mid FROM mqtt_acked WHERE msgid IS NULL AND mid IS NOT NULL) AS seen
  ) AS position
  WHERE mqtt_acked.msgid IS NULL AND mqtt_acked.topic = position.topic AND mqtt_acked.mid = position.mid;

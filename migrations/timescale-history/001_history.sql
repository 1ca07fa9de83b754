-- Every stored message, for good: a hypertable by `arrived` where the extension timescaledb is installed in the database, a plain
-- table otherwise (later: SELECT create_hypertable('mqtt_history', 'arrived', migrate_data => true)).
CREATE TABLE IF NOT EXISTS mqtt_history (
  msgid       text COLLATE "C" NOT NULL,
  sender      text NOT NULL,
  username    text,
  topic       text NOT NULL,
  qos         integer NOT NULL,
  retain      integer NOT NULL,
  payload     text,                   -- null where text can't hold it
  payload_bin bytea,                  -- then: U+0000, or not UTF-8
  properties  json,                   -- MQTT 5 properties
  arrived     timestamptz NOT NULL    -- when EMQX received it
);

DO $$
DECLARE
  extension_schema text;
BEGIN
  SELECT n.nspname INTO extension_schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb';
  IF extension_schema IS NOT NULL THEN
    EXECUTE format('SELECT %I.create_hypertable(%L::regclass, %L, if_not_exists => true, create_default_indexes => false)',
                   extension_schema, 'mqtt_history', 'arrived');
  END IF;
END
$$;

-- A message that is appended twice is stored once. The key of a hypertable must hold the column that it is divided by.
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_history_msgid ON mqtt_history (msgid, arrived);
CREATE INDEX IF NOT EXISTS mqtt_history_arrived ON mqtt_history (arrived);
-- A topic may have 65,535 bytes and an index row only 2,700: the index has its beginning.
CREATE INDEX IF NOT EXISTS mqtt_history_topic_arrived ON mqtt_history (left(topic, 500) COLLATE "C", arrived);

-- Client state, subscriptions, retained messages and read positions. Of several rows with the same key the greatest version counts.

CREATE TABLE IF NOT EXISTS mqtt_client (
  clientid   String,
  state      Int8,              -- 1: connected, 0: disconnected
  node       Nullable(String),
  online_at  Nullable(Int64),   -- ms since 1970
  offline_at Nullable(Int64),
  changed_at UInt64,            -- ms, of the event that told the state
  written_at UInt64             -- microseconds: of two with the same changed_at the one written later counts
) ENGINE = ReplacingMergeTree(changed_at) ORDER BY clientid SETTINGS index_granularity = 256;

CREATE TABLE IF NOT EXISTS mqtt_sub (
  clientid String,
  topic    String,   -- the topic filter
  qos      Int8,
  deleted  UInt8,
  version  UInt64    -- microseconds since 1970
) ENGINE = ReplacingMergeTree(version) ORDER BY (clientid, topic) SETTINGS index_granularity = 256;

-- Of each topic the row with the greatest msgid counts; deleted: nothing up to this id is retained.
CREATE TABLE IF NOT EXISTS mqtt_retain (
  topic          String,
  msgid          String,
  sender         String,
  qos            Nullable(Int8),
  payload        String,             -- '' where payload_base64 has it
  arrived        Int64,              -- ms since 1970
  payload_base64 Nullable(String),   -- the payload where it is not UTF-8
  username       Nullable(String),
  properties     Nullable(String),   -- MQTT 5 properties, JSON
  published_at   Nullable(Int64),
  expires_at     Nullable(Int64),
  deleted        UInt8,
  version        UInt64              -- microseconds since 1970: when it was written
) ENGINE = ReplacingMergeTree(deleted) ORDER BY (topic, msgid) SETTINGS index_granularity = 256;

CREATE TABLE IF NOT EXISTS mqtt_acked (
  clientid String,          -- or $share/{group}
  topic    String,
  msgid    String,          -- everything up to this id is read
  receipts Array(String),   -- ids above it that are read too
  deleted  UInt8,
  version  UInt64           -- microseconds since 1970
) ENGINE = ReplacingMergeTree(version) ORDER BY (clientid, topic) SETTINGS index_granularity = 256;

-- Every stored message, for good. A message that is appended twice is one row after the next merge; SELECT ... FINAL shows it once
-- before, too. On a cluster, create this table yourself as ReplicatedReplacingMergeTree before the first start: it is left alone.
CREATE TABLE IF NOT EXISTS mqtt_history (
  msgid          String,
  sender         String,
  username       Nullable(String),
  topic          String,
  qos            UInt8,
  retain         UInt8,
  payload        String,
  payload_base64 String,
  properties     String,
  arrived        Int64
) ENGINE = ReplacingMergeTree()
PARTITION BY toYYYYMM(toDateTime(intDiv(arrived, 1000), 'UTC'))
ORDER BY (topic, arrived, msgid);

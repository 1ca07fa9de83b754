-- Rows that nobody has seen for long are purged (docs/databases.md).

-- ms, when the consumer was seen last.
-- when: SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_acked' AND name = 'seen_at'
ALTER TABLE mqtt_acked ADD COLUMN seen_at UInt64 DEFAULT intDiv(version, 1000);

-- ms, when an event told of the subscription; 0 means an assigned subscription: it stays.
-- when: SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_sub' AND name = 'seen_at'
ALTER TABLE mqtt_sub ADD COLUMN seen_at UInt64 DEFAULT 0;

-- 1: the state was purged. Its row has a greater changed_at than those before.
-- when: SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_client' AND name = 'deleted'
ALTER TABLE mqtt_client ADD COLUMN deleted UInt8 DEFAULT 0;

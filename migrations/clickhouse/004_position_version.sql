-- position_version grows with each write of a read position: an older one, of a process that stood still, changes nothing. Rows from before have 0.
-- `version`, which says the row that counts, is microseconds where it is 0, and 2^54 + 512 * position_version or more where it is not
-- (src/stores/clickhouse/positions.ts): written_at is when a row was written, in microseconds.

-- when: SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_acked' AND name = 'position_version'
ALTER TABLE mqtt_acked ADD COLUMN position_version UInt64 DEFAULT 0;

-- when: SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_acked' AND name = 'written_at'
ALTER TABLE mqtt_acked ADD COLUMN written_at UInt64 DEFAULT version;

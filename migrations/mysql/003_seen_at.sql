-- seen_at, in ms: a row that nobody has seen for long is purged (docs/databases.md). Rows that are there already count from now. In mqtt_sub
-- null means an assigned subscription, or one of EMQX's own: it stays.

-- unless column mqtt_client.seen_at
ALTER TABLE mqtt_client ADD COLUMN seen_at bigint DEFAULT NULL, ADD KEY mqtt_client_seen_at (seen_at);

UPDATE mqtt_client SET seen_at = ROUND(UNIX_TIMESTAMP() * 1000) WHERE seen_at IS NULL;

-- unless column mqtt_acked.seen_at
ALTER TABLE mqtt_acked ADD COLUMN seen_at bigint DEFAULT NULL, ADD KEY mqtt_acked_seen_at (seen_at);

UPDATE mqtt_acked SET seen_at = ROUND(UNIX_TIMESTAMP() * 1000) WHERE seen_at IS NULL;

-- unless column mqtt_sub.seen_at
ALTER TABLE mqtt_sub ADD COLUMN seen_at bigint DEFAULT NULL, ADD KEY mqtt_sub_seen_at (seen_at);

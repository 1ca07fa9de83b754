-- seen_at, in ms: a row that nobody has seen for long is purged (docs/databases.md). Rows that are there already, and those that others write
-- into mqtt_client and mqtt_acked, count from now. In mqtt_sub null means an assigned subscription, or one of EMQX's own: it stays.
ALTER TABLE mqtt_client ADD COLUMN IF NOT EXISTS seen_at bigint DEFAULT (extract(epoch FROM now()) * 1000)::bigint;
ALTER TABLE mqtt_acked ADD COLUMN IF NOT EXISTS seen_at bigint DEFAULT (extract(epoch FROM now()) * 1000)::bigint;
ALTER TABLE mqtt_sub ADD COLUMN IF NOT EXISTS seen_at bigint;

CREATE INDEX IF NOT EXISTS mqtt_client_seen_at ON mqtt_client (seen_at) WHERE seen_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS mqtt_acked_seen_at ON mqtt_acked (seen_at) WHERE seen_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS mqtt_sub_seen_at ON mqtt_sub (seen_at) WHERE seen_at IS NOT NULL;

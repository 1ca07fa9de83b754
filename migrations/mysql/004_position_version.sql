-- Grows with each write of a read position: an older one, of a process that stood still, changes nothing. Rows that EMQX writes have 0.

-- unless column mqtt_acked.version
ALTER TABLE mqtt_acked ADD COLUMN version bigint NOT NULL DEFAULT 0;

-- Mailboxes: what is on its way to a consumer. Each is saved by compare-and-set on its version (promise 21).
CREATE TABLE IF NOT EXISTS record (
  key        text PRIMARY KEY,
  value      text NOT NULL,
  version    bigint NOT NULL,
  expires_at bigint NOT NULL  -- ms since 1970
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS record_expires_at ON record (expires_at);

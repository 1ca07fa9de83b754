-- Beside BullMQ's tables, in the queue's own schema. Run inside that schema (search_path), after BullMQ's migrations.

-- BullMQ's PostgreSQL backend sends a job that was active when its process died, or that was given back, to the END of its
-- queue (its Redis backend: to the front). A lane must keep its order, so such a job keeps its place instead: promises 4 and 6.
CREATE OR REPLACE FUNCTION keep_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.seq := OLD.seq;
  RETURN NEW;
END;
$$;

DROP TRIGGER IF EXISTS keep_place ON job;
CREATE TRIGGER keep_place BEFORE UPDATE ON job
  FOR EACH ROW WHEN (OLD.state = 'active' AND NEW.state = 'waiting')
  EXECUTE FUNCTION keep_place();

-- Small values that all server processes share: the signing key, delivery windows.
CREATE TABLE IF NOT EXISTS shared_state (
  key        text PRIMARY KEY,
  value      text NOT NULL,
  expires_at bigint          -- ms since 1970; null: never
);
CREATE INDEX IF NOT EXISTS shared_state_expires_at ON shared_state (expires_at);

-- Messages that are on their way to a client: not sent again before the lease is over (promise 9).
CREATE TABLE IF NOT EXISTS delivery_lease (
  msgid      text PRIMARY KEY,
  owner      text NOT NULL,
  expires_at bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS delivery_lease_expires_at ON delivery_lease (expires_at);

-- What the operator's own statements (templates=) have done with which message in the last day: a batch that is appended again
-- must not run them twice.
CREATE TABLE IF NOT EXISTS mqtt_history_done (
  statement text COLLATE "C" NOT NULL,
  msgid     text COLLATE "C" NOT NULL,
  done_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (statement, msgid)
);
CREATE INDEX IF NOT EXISTS mqtt_history_done_done_at ON mqtt_history_done (done_at);

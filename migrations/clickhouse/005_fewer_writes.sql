-- A batch of messages is one insert into one table with few columns, and a batch of removals is one insert.
-- A statement below a line "-- while: QUERY" has ended when the query counts nothing any more.

-- The topics are read from mqtt_msg, which is ordered by them. Servers of an earlier version write the topic before its message: from here
-- on they save nothing, and their messages wait in the queue until these servers are replaced.
DROP TABLE IF EXISTS mqtt_topic;

-- One column for what few messages have: names and values in turn (payload_base64, username, properties, msgid_before). As long as the
-- old columns are there, rows without a value of their own have it from them.
-- when: SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'extra'
ALTER TABLE mqtt_msg ADD COLUMN extra Array(String) DEFAULT arrayConcat(
  if(isNull(payload_base64), emptyArrayString(), array('payload_base64', assumeNotNull(payload_base64))),
  if(isNull(username), emptyArrayString(), array('username', assumeNotNull(username))),
  if(isNull(properties), emptyArrayString(), array('properties', assumeNotNull(properties))),
  if(isNull(msgid_before), emptyArrayString(), array('msgid_before', assumeNotNull(msgid_before))));

-- ms since 1970. EMQX's action, where it still writes, gives arrived only.
-- when: SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'published_ms'
ALTER TABLE mqtt_msg ADD COLUMN published_ms Int64 DEFAULT ifNull(published_at, arrived);

-- ms since 1970; 0: never.
-- when: SELECT count() = 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'expires_ms'
ALTER TABLE mqtt_msg ADD COLUMN expires_ms Int64 DEFAULT ifNull(expires_at, toInt64(0));

-- Every row gets the values as its own. This rewrites the table once.
-- when: SELECT count() > 0 AND (SELECT count() FROM mqtt_msg) > 0 FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'payload_base64'
-- while: SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table IN ('mqtt_msg', 'mqtt_removed') AND is_done = 0
ALTER TABLE mqtt_msg UPDATE extra = extra, published_ms = published_ms, expires_ms = expires_ms WHERE 1;

-- A row of mqtt_msg is gone once a row of mqtt_removed has its topic and msgid, and a removed_at or an until that is not before its
-- stored_at. That finds the rows to purge as well, so removals need not name them, and nobody asks who came first.
-- when: SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_removed' AND name = 'stored_at'
ALTER TABLE mqtt_removed DROP COLUMN stored_at;

-- when: SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_removed' AND name = 'owner'
ALTER TABLE mqtt_removed DROP COLUMN owner;

-- The rows of mqtt_msg that purging deletes just now.
CREATE TABLE IF NOT EXISTS mqtt_hidden (
  topic     String,
  msgid     String,
  stored_at UInt64,
  found_at  UInt64  -- microseconds since 1970
) ENGINE = MergeTree ORDER BY (topic, msgid) SETTINGS index_granularity = 256;

-- The old columns go.
ALTER TABLE mqtt_msg MODIFY COLUMN extra Array(String) DEFAULT emptyArrayString();

ALTER TABLE mqtt_msg MODIFY COLUMN published_ms Int64 DEFAULT arrived;

ALTER TABLE mqtt_msg MODIFY COLUMN expires_ms Int64 DEFAULT toInt64(0);

-- when: SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'username'
ALTER TABLE mqtt_msg DROP COLUMN username;

-- when: SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'properties'
ALTER TABLE mqtt_msg DROP COLUMN properties;

-- when: SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'published_at'
ALTER TABLE mqtt_msg DROP COLUMN published_at;

-- when: SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'expires_at'
ALTER TABLE mqtt_msg DROP COLUMN expires_at;

-- when: SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'msgid_before'
ALTER TABLE mqtt_msg DROP COLUMN msgid_before;

-- when: SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'mqtt_msg' AND name = 'payload_base64'
ALTER TABLE mqtt_msg DROP COLUMN payload_base64;

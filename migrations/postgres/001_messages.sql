-- Messages, in the table of EMQX's own backends. A table that they filled is taken over: its columns keep their names and
-- meanings, ours are added and may be null. All migrations run in one transaction: what cannot be taken over stays as it was.

-- What only has the names of EMQX's tables is refused, with the reason.
DO $$
DECLARE
  problem text;
BEGIN
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'the database has the encoding %, MQTT topics need UTF8', current_setting('server_encoding');
  END IF;

  WITH expected(name, columns, category) AS (VALUES
    ('mqtt_msg', '{msgid,sender,topic,payload}'::text[], 'S'), ('mqtt_msg', '{id,qos,retain}', 'N'), ('mqtt_msg', '{arrived}', 'D'),
    ('mqtt_client', '{clientid,node}', 'S'), ('mqtt_client', '{state}', 'N'), ('mqtt_client', '{online_at,offline_at}', 'D'),
    ('mqtt_sub', '{clientid,topic}', 'S'), ('mqtt_sub', '{qos}', 'N'),
    ('mqtt_retain', '{topic,msgid,sender,payload}', 'S'), ('mqtt_retain', '{qos}', 'N'), ('mqtt_retain', '{arrived}', 'D'),
    ('mqtt_acked', '{clientid,topic}', 'S'), ('mqtt_acked', '{mid}', 'N')
  ), tables AS (SELECT DISTINCT name, to_regclass(name) AS oid FROM expected WHERE to_regclass(name) IS NOT NULL),
  found AS (
    SELECT t.name, a.attname::text AS column, format_type(a.atttypid, a.atttypmod) AS type, y.typcategory::text AS category,
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS must_be_filled
    FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type y ON y.oid = a.atttypid
  ), wanted AS (SELECT e.name, c.column, e.category FROM expected e JOIN tables t USING (name), unnest(e.columns) AS c("column"))
  SELECT p.text INTO problem FROM (
    SELECT 1, format('%s is %s, not a table', t.name, CASE c.relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' ELSE 'something else' END)
      FROM tables t JOIN pg_class c ON c.oid = t.oid WHERE c.relkind NOT IN ('r', 'p')
    UNION ALL
    -- CREATE TABLE IF NOT EXISTS looks only into the first schema, so an empty table would hide EMQX's.
    SELECT 1, format('%s is in the schema %s, and new tables would be in %s: leave one of the two out of search_path (?options=)',
                     t.name, c.relnamespace::regnamespace, coalesce(current_schema(), 'none'))
      FROM tables t JOIN pg_class c ON c.oid = t.oid WHERE c.relnamespace::regnamespace::text IS DISTINCT FROM quote_ident(current_schema())
    UNION ALL
    SELECT 2, format('%s has no column %s', w.name, w.column) FROM wanted w LEFT JOIN found f USING (name, "column") WHERE f.type IS NULL
    UNION ALL
    SELECT 3, format('%s.%s is %s, expected %s', w.name, w.column, f.type,
                     CASE w.category WHEN 'S' THEN 'text' WHEN 'N' THEN 'a number' ELSE 'a timestamp' END)
      FROM wanted w JOIN found f USING (name, "column") WHERE f.category <> w.category
    UNION ALL
    SELECT 4, format('%s.%s must be filled, and only EMQX''s own columns can be', f.name, f.column)
      FROM found f LEFT JOIN wanted w USING (name, "column") WHERE f.must_be_filled AND (w.category IS NULL OR f.column = 'id')
  ) AS p(rank, text) ORDER BY p.rank, p.text LIMIT 1;
  IF problem IS NOT NULL THEN RAISE EXCEPTION '%', problem; END IF;
END
$$;

CREATE TABLE IF NOT EXISTS mqtt_msg (
  id       bigserial PRIMARY KEY,
  msgid    text,
  sender   text,
  topic    text,
  qos      integer,
  retain   integer,
  payload  text,
  arrived  timestamp without time zone
);

-- EMQX's columns are too short for what MQTT allows (varchar to text does not rewrite the table). Those that are text already are
-- left alone: a view over them would forbid it.
DO $$
DECLARE
  narrow record;
BEGIN
  FOR narrow IN SELECT attname FROM pg_attribute
    WHERE attrelid = 'mqtt_msg'::regclass AND attname IN ('msgid', 'sender', 'topic', 'payload') AND atttypid <> 'text'::regtype
  LOOP
    EXECUTE format('ALTER TABLE mqtt_msg ALTER COLUMN %I TYPE text', narrow.attname);
  END LOOP;
END
$$;

ALTER TABLE mqtt_msg
  ALTER COLUMN payload DROP NOT NULL,
  ADD COLUMN IF NOT EXISTS payload_bin  bytea,   -- the payload where text can't hold it: U+0000 or not UTF-8 (payload is null then)
  ADD COLUMN IF NOT EXISTS username     text,
  ADD COLUMN IF NOT EXISTS properties   json,    -- MQTT 5 properties
  ADD COLUMN IF NOT EXISTS published_at bigint,  -- ms since 1970; null in EMQX's own rows: arrived says it
  ADD COLUMN IF NOT EXISTS expires_at   bigint,  -- ms since 1970; null: never
  ADD COLUMN IF NOT EXISTS msgid_before text;    -- EMQX's msgid where the next step had to change it

-- msgid was not unique. The same message stored more than once becomes one, the oldest. Another row with the msgid of an older one, a
-- row without a msgid and one whose msgid could not come back in an acknowledgement gets a new one, by which it sorts where it belongs:
-- 16 hex digits of microseconds, as EMQX's own begin, and 16 of mqtt_msg.id.
DELETE FROM mqtt_msg WHERE ctid IN (
  SELECT ctid FROM (
    SELECT ctid, row_number() OVER (PARTITION BY msgid, topic, sender, qos, retain, payload, payload_bin ORDER BY arrived, id) AS n
    FROM mqtt_msg WHERE msgid IN (SELECT msgid FROM mqtt_msg WHERE msgid <> '' GROUP BY msgid HAVING count(*) > 1)
  ) AS same WHERE n > 1);

UPDATE mqtt_msg SET msgid_before = nullif(msgid, ''), msgid = upper(
    lpad(to_hex((extract(epoch FROM CASE WHEN isfinite(arrived) THEN arrived::timestamptz ELSE now() END) * 1000000)::bigint), 16, '0')
    || lpad(to_hex(id), 16, '0'))
  FROM (SELECT ctid AS place, row_number() OVER (PARTITION BY msgid ORDER BY arrived, id) AS n FROM mqtt_msg) AS numbered
  WHERE place = mqtt_msg.ctid AND (n > 1 OR msgid IS NULL OR msgid !~ '^[0-9A-Za-z_-]{1,64}$');

-- Ids and topics compare byte for byte. A topic may have 65,535 bytes and an index row only 2,700: the index has its beginning.
CREATE UNIQUE INDEX IF NOT EXISTS mqtt_msg_msgid ON mqtt_msg (msgid COLLATE "C");
CREATE INDEX IF NOT EXISTS mqtt_msg_topic_msgid ON mqtt_msg (left(topic, 500) COLLATE "C", msgid COLLATE "C");
CREATE INDEX IF NOT EXISTS mqtt_msg_expires_at ON mqtt_msg (expires_at) WHERE expires_at IS NOT NULL;

-- The ids of removed messages, for a while: a publish that arrives after its ack, or again, must not come back.
CREATE TABLE IF NOT EXISTS mqtt_tombstone (
  msgid      text COLLATE "C" PRIMARY KEY,
  expires_at bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS mqtt_tombstone_expires_at ON mqtt_tombstone (expires_at);

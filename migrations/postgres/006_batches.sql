-- Saving and removing a batch take one round trip each, and fewer writes. Both procedures may commit half of their work: src/stores/postgres/messages.ts
-- says why every order of two servers' steps is right.

-- A tombstone is only ever added. Without a unique key that needs no look for an older one, and no second log record for each row. An id that is
-- removed twice has two tombstones; the one that lives longer counts. FULL: a publication needs some identity of the rows that are deleted.
ALTER TABLE mqtt_tombstone DROP CONSTRAINT IF EXISTS mqtt_tombstone_pkey;
ALTER TABLE mqtt_tombstone ALTER COLUMN msgid SET NOT NULL, REPLICA IDENTITY FULL;
CREATE INDEX IF NOT EXISTS mqtt_tombstone_msgid ON mqtt_tombstone (msgid);

-- Tools that copy tables may leave a sequence behind the rows. Then each new row would get a number that another row has.
DO $$
DECLARE
  each record;
BEGIN
  FOR each IN SELECT name, pg_get_serial_sequence(name, 'id') AS sequence
    FROM unnest('{mqtt_msg,mqtt_client,mqtt_sub,mqtt_retain,mqtt_acked}'::text[]) AS name
    WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = name::regclass AND attname = 'id' AND NOT attisdropped)
  LOOP
    CONTINUE WHEN each.sequence IS NULL;
    EXECUTE format('SELECT setval(%L, newest) FROM (SELECT max(id) AS newest FROM %I) AS rows, %s WHERE newest >= last_value',
                   each.sequence, each.name, each.sequence);
  END LOOP;
END
$$;

-- The key over mqtt_msg.id costs a tenth of the time of a save, and no statement of the server uses it. A table that the server made loses it; `id`
-- stays as a column with its default, and msgid identifies the rows for a publication. A table that EMQX made keeps its key: it is older than the
-- server's own list of migrations, so its number (oid) is smaller. A restored backup may have numbers in another order. Then the key stays, too, as it
-- does where another table refers to it or where rows without a msgid were written.
DO $$
DECLARE
  key name;
BEGIN
  IF 'mqtt_msg'::regclass::oid < 'mqtt_offline_migration'::regclass::oid OR EXISTS (SELECT 1 FROM mqtt_msg WHERE msgid IS NULL) THEN RETURN; END IF;
  SELECT conname INTO key FROM pg_constraint WHERE conrelid = 'mqtt_msg'::regclass AND contype = 'p';
  IF key IS NULL THEN RETURN; END IF;
  EXECUTE format('ALTER TABLE mqtt_msg DROP CONSTRAINT %I', key);
  ALTER TABLE mqtt_msg ALTER COLUMN msgid SET NOT NULL;
  ALTER TABLE mqtt_msg REPLICA IDENTITY USING INDEX mqtt_msg_msgid;
EXCEPTION WHEN dependent_objects_still_exist THEN NULL;
END
$$;

-- A connection keeps the plans of a procedure. A plan that was made while a table was empty could read the whole table later: `enable_seqscan`, the
-- array of ids and `+ 0` leave only the index of the ids to it.
CREATE OR REPLACE PROCEDURE mqtt_save_messages(
  msgids text[], senders text[], topics text[], qoss int[], retains int[], payloads text[], binaries bytea[], usernames text[],
  properties json[], published bigint[], expires bigint[], saved_at bigint
) LANGUAGE plpgsql AS $$
DECLARE
  buried text[];
BEGIN
  PERFORM set_config('enable_seqscan', 'off', true);
  buried := ARRAY(SELECT t.msgid FROM mqtt_tombstone t WHERE t.msgid = ANY(msgids) AND t.expires_at + 0 > saved_at);
  BEGIN
    -- Nearly all batches are new, and an insert that expects no conflict writes less.
    INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, payload_bin, username, properties, published_at, expires_at)
      SELECT m.msgid, m.sender, m.topic, m.qos, m.retain, m.payload, to_timestamp(m.published_at / 1000.0)::timestamp, m.payload_bin, m.username,
             m.properties, m.published_at, m.expires_at
      FROM unnest(msgids, senders, topics, qoss, retains, payloads, binaries, usernames, properties, published, expires)
        AS m(msgid, sender, topic, qos, retain, payload, payload_bin, username, properties, published_at, expires_at)
      WHERE m.msgid <> ALL (buried)
      ORDER BY m.msgid COLLATE "C";
  EXCEPTION WHEN unique_violation THEN
    -- Some are stored already. Rows are written in order, so that two batches with the same ids wait for each other instead of deadlocking.
    -- Another unique key (an operator's, or EMQX's over id) must not make the server believe that a message is stored: it raises its error.
    INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived, payload_bin, username, properties, published_at, expires_at)
      SELECT m.msgid, m.sender, m.topic, m.qos, m.retain, m.payload, to_timestamp(m.published_at / 1000.0)::timestamp, m.payload_bin, m.username,
             m.properties, m.published_at, m.expires_at
      FROM unnest(msgids, senders, topics, qoss, retains, payloads, binaries, usernames, properties, published, expires)
        AS m(msgid, sender, topic, qos, retain, payload, payload_bin, username, properties, published_at, expires_at)
      WHERE m.msgid <> ALL (buried)
      ORDER BY m.msgid COLLATE "C"
      ON CONFLICT (msgid COLLATE "C") DO NOTHING;
  END;
  COMMIT;
  PERFORM set_config('enable_seqscan', 'off', true);
  DELETE FROM mqtt_msg WHERE msgid COLLATE "C" = ANY(ARRAY(
    SELECT t.msgid FROM mqtt_tombstone t WHERE t.msgid = ANY(msgids) AND t.expires_at + 0 > saved_at));
END
$$;

CREATE OR REPLACE PROCEDURE mqtt_remove_messages(ids text[], buried_until bigint, INOUT removed bigint) LANGUAGE plpgsql AS $$
BEGIN
  -- The first commit need not wait for the disk or for a replica, because the second one waits for all that was written before it.
  PERFORM set_config('synchronous_commit', 'off', true);
  INSERT INTO mqtt_tombstone (msgid, expires_at) SELECT id, buried_until FROM unnest(ids) AS id;
  COMMIT;
  PERFORM set_config('enable_seqscan', 'off', true);
  DELETE FROM mqtt_msg WHERE msgid COLLATE "C" = ANY(ids);
  GET DIAGNOSTICS removed = ROW_COUNT;
  IF removed = 0 THEN
    -- A commit without a write would not wait.
    INSERT INTO mqtt_tombstone (msgid, expires_at) VALUES (ids[1], buried_until);
  END IF;
END
$$;

-- Rows are kept in the order of msgid. A row then has one key less to write and to delete, because no statement of the server looks for `id`. The
-- column stays, for your own queries: a new row's number is greater than those before it, as long as one server of the database writes.
--
-- A table that EMQX made keeps its keys, for readers that look for `id`. It is known by its topic_index. So does a table to which others refer.
-- unless index mqtt_msg.topic_index
-- unless foreign key to mqtt_msg.id
-- unless foreign key to mqtt_msg.msgid
-- only with index mqtt_msg.mqtt_msg_msgid
UPDATE mqtt_msg
  SET msgid_before = NULLIF(msgid, ''), msgid = CONCAT(LPAD(HEX(CAST(UNIX_TIMESTAMP(arrived) * 1000000 AS UNSIGNED)), 16, '0'), LPAD(HEX(id), 16, '0'))
  WHERE msgid IS NULL;
ALTER TABLE mqtt_msg
  MODIFY id bigint unsigned NOT NULL DEFAULT (UUID_SHORT()),
  MODIFY msgid varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  DROP PRIMARY KEY, ADD PRIMARY KEY (msgid), DROP KEY mqtt_msg_msgid;

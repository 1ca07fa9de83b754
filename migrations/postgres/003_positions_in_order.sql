-- A consumer's read positions in the order of their topics, page by page. As in 001, the index has the topic's beginning.
CREATE INDEX IF NOT EXISTS mqtt_acked_clientid_topic_begin ON mqtt_acked (mqtt_key(clientid), left(topic, 500) COLLATE "C");

/** The tables of EMQX's own PostgreSQL backend. */
export const ORIGINAL = `
  CREATE TABLE mqtt_client (id SERIAL8 primary key, clientid character varying(64), state integer, node character varying(64),
    online_at timestamp, offline_at timestamp, created timestamp without time zone, UNIQUE (clientid));
  CREATE TABLE mqtt_sub (id SERIAL8 primary key, clientid character varying(64), topic character varying(255), qos integer,
    created timestamp without time zone, UNIQUE (clientid, topic));
  CREATE TABLE mqtt_msg (id SERIAL8 primary key, msgid character varying(64), sender character varying(64), topic character varying(255),
    qos integer, retain integer, payload text, arrived timestamp without time zone);
  CREATE TABLE mqtt_retain (id SERIAL8 primary key, topic character varying(255), msgid character varying(64), sender character varying(64),
    qos integer, payload text, arrived timestamp without time zone, UNIQUE (topic));
  CREATE TABLE mqtt_acked (id SERIAL8 primary key, clientid character varying(64), topic character varying(64), mid integer,
    created timestamp without time zone, UNIQUE (clientid, topic));`;

/** What they hold, with everything that has been seen in them. */
export const ROWS = `
  INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived) VALUES
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'first', '2017-03-01 10:00:00'),
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'first', '2017-03-01 10:00:05'),
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'not the first', '2017-03-01 10:00:06'),
    ('00054981D19EB000F44000000A1F0001', 'old', 't/other', 1, 0, 'first', '2017-03-01 10:00:06.5'),
    (NULL, 'old', 't/old', 2, 1, 'no id', '2017-03-01 10:00:07.25'),
    ('', 'old', 't/old', 0, NULL, 'empty id', '2017-03-01 10:00:08'),
    ('with:colon', 'old', 't/old', 1, 0, 'strange id', '2017-03-01 10:00:09'),
    ('7xKq2', NULL, 't/bare', NULL, NULL, NULL, NULL),
    ('forever', 'old', 't/bare', -1, 0, 'é 😀', 'infinity'),
    ('base62A', 'old', 't/acked', 1, 0, 'one', '2018-01-01 00:00:00'),
    ('base62B', 'old', 't/acked', 1, 0, 'two', '2018-01-01 00:00:01'),
    ('base62C', 'old', 't/acked', 1, 0, 'three', '2018-01-01 00:00:02'),
    ('lost', NULL, NULL, 1, 0, 'of no topic', now());
  INSERT INTO mqtt_client (clientid, state, node, online_at, offline_at) VALUES
    ('here', 1, 'emqx@a', '2020-01-01 00:00:02', '2020-01-01 00:00:01'), ('gone', 0, 'emqx@a', '2020-01-01 00:00:01', '2020-01-01 00:00:02'), ('bare', NULL, NULL, NULL, NULL);
  INSERT INTO mqtt_sub (clientid, topic, qos) VALUES ('here', 't/#', 1), ('here', 'T/+', -1), ('here', 'a', 9), ('gone', 't/1', NULL);
  INSERT INTO mqtt_retain (topic, msgid, sender, qos, payload, arrived) VALUES
    ('r/1', 'AAA', 'old', 1, 'kept', '2019-01-01 00:00:00'), ('r/2', NULL, NULL, NULL, 'no id', '2019-01-01 00:00:00');
  INSERT INTO mqtt_acked (clientid, topic, mid) VALUES
    ('reader', 't/acked', 11), ('late', 't/acked', 99), ('early', 't/acked', 4), ('bare', 't/acked', NULL);`;

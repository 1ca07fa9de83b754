/** The table of EMQX's own ClickHouse action. */
export const ORIGINAL = `
  CREATE TABLE mqtt_msg (msgid String, topic String, sender String, payload String, qos Nullable(Int8), retain Nullable(Int8), arrived Int64)
    ENGINE = MergeTree ORDER BY msgid`;

/** What it holds, with everything that has been seen there; in two inserts, as parts come. */
export const ROWS = `
  INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived) VALUES
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'first', 1488362400000),
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'first', 1488362405000),
    ('00054981D19EB000F44000000A1F0001', 'old', 't/old', 1, 0, 'not the first', 1488362406000),
    ('', 'old', 't/old', 2, 1, 'no id', 1488362407250),
    ('7xKq2', '', 't/bare', NULL, NULL, '', 0),
    ('minus', 'old', 't/bare', -1, 0, 'é 😀', 1488362400);
  INSERT INTO mqtt_msg (msgid, sender, topic, qos, retain, payload, arrived) VALUES
    ('00054981D19EB000F44000000A1F0001', 'old', 't/other', 1, 0, 'first', 1488362406500),
    ('', 'old', 't/old', 0, NULL, 'empty id', 1488362408000),
    ('', 'old', 't/old', 0, NULL, 'empty id', 1488362408000),
    ('with:colon', 'old', 't/old', 1, 0, 'strange id', 1488362409000)`;

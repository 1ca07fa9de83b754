import { DatabaseError } from 'pg';
import { RefusedError, RetryableError } from '../../src/base/errors';
import { mapError, mapMigrationError } from '../../src/stores/postgres/errors';

/** As knex hands it on: the statement in front. */
const databaseError = (code: string, text = 'no - reason'): DatabaseError =>
  Object.assign(new DatabaseError(`INSERT INTO mqtt_msg VALUES ($1) - ${text}`, 0, 'error'), { code });

describe('postgres errors', () => {
  it.each(['22001', '22021', '22P02', '23502', '23505', '23514', '44000', '54000', 'P0001'])('code %s rejects the message', (code) => {
    const error = mapError(databaseError(code));
    expect(error).toBeInstanceOf(RefusedError);
    expect(error.message).toBe(`no - reason (SQLSTATE ${code})`);
  });

  it.each([
    ...[
      '08006',
      '25006',
      '28P01',
      '3D000',
      '40001',
      '40P01',
      '42501',
      '42P01',
      '53100',
      '53200',
      '53300',
      '55P03',
      '57014',
      '57P01',
      '57P03',
      '58030',
    ],
    ...['2200H', '54001', 'XX000'],
  ])('code %s is retried', (code) => {
    const error = mapError(databaseError(code));
    expect(error).toBeInstanceOf(RetryableError);
    expect(error.message).toContain('no - reason');
    expect(error.message).not.toContain('INSERT');
  });

  it('a failed connection to several addresses shows the first error', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED ::1:5432'), { code: 'ECONNREFUSED' });
    expect(mapError(Object.assign(new AggregateError([refused]), { code: 'ECONNREFUSED' }), 'TimescaleDB').message).toBe(
      'cannot connect to TimescaleDB (connect ECONNREFUSED ::1:5432): check host and port',
    );
  });

  it("an error in a migration's statement is final, an outage is not", () => {
    expect(mapMigrationError(databaseError('42703'), '001_messages.sql')).toBeInstanceOf(RefusedError);
    expect(mapMigrationError(databaseError('57P01'), '001_messages.sql')).not.toBeInstanceOf(RefusedError);
    expect(mapMigrationError(new Error('Connection terminated'), '001_messages.sql')).not.toBeInstanceOf(RefusedError);
  });
});

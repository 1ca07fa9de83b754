import { RefusedError, RetryableError } from '../../src/base/errors';
import { mapError } from '../../src/stores/dynamodb/errors';

const named = (name: string, message: string, code?: string): Error => Object.assign(new Error(message), { name, code });

describe('dynamodb errors', () => {
  it.each([
    'Item size has exceeded the maximum allowed size',
    'One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes',
    'One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes',
    'Hash primary key values must be under 2048 bytes, and range primary key values must be under 1024 bytes',
    'The AttributeValue for a key attribute cannot contain an empty string value. Key: msgid',
  ])('"%s" rejects the message', (message) => {
    expect(mapError(named('ValidationException', message))).toEqual(new RefusedError(message));
  });

  it.each([
    [
      'ValidationException',
      'The provided key element does not match the schema',
      undefined,
      /does not match the schema \(ValidationException\)$/,
    ],
    ['ResourceNotFoundException', 'Requested resource not found', undefined, /a table is missing.*migrate/],
    ['ProvisionedThroughputExceededException', 'slow down', undefined, /slow down/],
    [
      'AccessDeniedException',
      'User: arn:x is not authorized to perform: dynamodb:Query',
      undefined,
      /dynamodb:Query: the user needs more rights/,
    ],
    ['ExpiredTokenException', 'The security token included in the request is expired', undefined, /rejected the login/],
    ['Error', 'getaddrinfo ENOTFOUND dynamodb.us-eats-1.amazonaws.com', 'ENOTFOUND', /cannot connect to DynamoDB.*check the region/],
    ['TimeoutError', 'Socket timed out', undefined, /does not answer/],
    ['Error', 'several\nlines  of text', undefined, /^several lines of text$/],
  ])('%s "%s" is retried', (name, message, code, expected) => {
    const error = mapError(named(name, message, code));
    expect(error).toBeInstanceOf(RetryableError);
    expect(error.message).toMatch(expected);
  });

  it('a failed connection to several addresses shows the first error', () => {
    const refused = named('Error', 'connect ECONNREFUSED ::1:8000', 'ECONNREFUSED');
    expect(mapError(new AggregateError([refused])).message).toMatch(/^cannot connect to DynamoDB \(connect ECONNREFUSED ::1:8000\)/);
  });
});

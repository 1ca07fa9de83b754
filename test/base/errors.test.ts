import { errorText, RetryableError } from '../../src/base/errors';

describe('the text of an error', () => {
  it('is its message, or its name if it has none', () => {
    expect(errorText(new RetryableError('no answer'))).toBe('no answer');
    expect(errorText(new RetryableError())).toBe('RetryableError');
    expect(errorText('no answer')).toBe('no answer');
  });

  it('does not have the advice that Node.js 24 adds to errors about certificates', () => {
    const error = new Error('self-signed certificate; if the root CA is installed locally, try running Node.js with --use-system-ca');
    expect(errorText(error)).toBe('self-signed certificate');
  });
});

import fc from 'fast-check';
import { newSigningKey, Signer, type Address } from '../../src/mailbox/signature';
import { clientKey } from '../../src/mqtt/consumer';

const signer = new Signer('key');
const KINDS = ['own', 'member', 'group', 'retained'] as const;
const address = (kind: Address['kind'], mailbox = clientKey('c')): Address => ({ kind, mailbox });

describe('a mark', () => {
  it.each(KINDS)('names the mailbox of its copy (%s)', (kind) => {
    for (const mailbox of [clientKey('c'), '']) {
      expect(signer.verified({ id: 'M', signature: signer.sign('M', 't/1', address(kind, mailbox)) }, 't/1')).toEqual({
        id: 'M',
        kind,
        mailbox,
      });
    }
  });

  // Promises 18 and 24. Each part is signed: the guards are the parts of Signer.hmac.
  it('is valid only for its id, topic, kind, mailbox and signing key', () => {
    const signature = signer.sign('M', 't/1', address('own'));
    const with_ = (change: (signature: string) => string, id = 'M', topic = 't/1') =>
      signer.verified({ id, signature: change(signature) }, topic);
    expect(with_((same) => same)).not.toBeNull();
    expect(with_((same) => same, 'N')).toBeNull();
    expect(with_((same) => same, 'M', 't/2')).toBeNull();
    expect(with_((same) => same, 'M', '$offline/c/t/1')).toBeNull();
    for (const letter of 'mgr') expect(with_((same) => `${same.slice(0, 43)}${letter}${same.slice(44)}`)).toBeNull();
    expect(with_((same) => `${same.slice(0, 44)}${clientKey('other')}`)).toBeNull();
    expect(with_((same) => same.slice(0, 44))).toBeNull();
    expect(new Signer('other key').verified({ id: 'M', signature }, 't/1')).toBeNull();
  });

  it('of one message, topic, mailbox and kind is not valid for another', () => {
    const part = fc.string({ unit: fc.constantFrom('a', 'b', '/', '_'), minLength: 1, maxLength: 3 });
    const key = fc.constantFrom('', 'a', clientKey('c'), clientKey('d'));
    const whole = fc.tuple(part, part, key, fc.constantFrom(...KINDS));
    fc.assert(
      fc.property(whole, whole, ([id, topic, mailbox, kind], [id2, topic2, mailbox2, kind2]) => {
        const [hmac, other] = [signer.sign(id, topic, { kind, mailbox }), signer.sign(id2, topic2, { kind: kind2, mailbox: mailbox2 })].map(
          (sign) => sign.slice(0, 43),
        );
        expect(hmac === other).toBe(id === id2 && topic === topic2 && mailbox === mailbox2 && kind === kind2);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    '',
    'x',
    'x'.repeat(43),
    `${'x'.repeat(43)}o`,
    `${'x'.repeat(43)}z${clientKey('c')}`,
    `${'x'.repeat(43)}o${'y'.repeat(65)}`,
    `${'é'.repeat(43)}o`,
    'x'.repeat(100_000),
  ])('of any other text is invalid (example %#)', (signature) => {
    expect(signer.verified({ id: 'M', signature }, 't/1')).toBeNull();
    expect(signer.verified(null, 't/1')).toBeNull();
  });

  it('of any text never throws an error', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (id, signature) =>
        expect(signer.verified({ id, signature }, 't/1')).toBeNull(),
      ),
    );
  });
});

test('signing keys are random and have 32 bytes', () => {
  expect(newSigningKey()).not.toBe(newSigningKey());
  expect(Buffer.from(newSigningKey(), 'base64url')).toHaveLength(32);
});

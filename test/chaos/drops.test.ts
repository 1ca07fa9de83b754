import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import type { Broker } from '../standin/broker';
import type { BrokerMessage } from '../standin/message';
import { dropSilently } from './drops';
import { Random } from './random';

const message = (ours: boolean) => ({ properties: ours ? { userProperties: [{ key: MSGID_PROPERTY, value: 'm' }] } : {} }) as unknown as BrokerMessage;

function brokerOf(isConnected: boolean, messages: readonly BrokerMessage[]): { readonly broker: Broker; readonly dropped: BrokerMessage[] } {
  const dropped: BrokerMessage[] = [];
  const session = { queue: messages.map((each) => ({ message: each })), outlet: isConnected ? {} : null, dropSilently: (matches: (each: BrokerMessage) => boolean) => dropped.push(...messages.filter(matches)) };
  return { broker: { sessions: new Map([['c', session]]) } as unknown as Broker, dropped };
}

describe('EMQX drops without telling', () => {
  it('what we sent to a client that is connected', async () => {
    const [ours, theirs] = [message(true), message(false)];
    const { broker, dropped } = brokerOf(true, [theirs, ours]);
    expect(await dropSilently(broker, new Random(1))).toBe(true);
    expect(dropped).toContain(ours);
    expect(dropped).not.toContain(theirs);
  });

  it('anything of a session whose client is away', async () => {
    const { broker, dropped } = brokerOf(false, [message(false)]);
    expect(await dropSilently(broker, new Random(1))).toBe(true);
    expect(dropped).toHaveLength(1);
  });

  it('nothing where nothing waits', async () => {
    jest.spyOn(performance, 'now').mockReturnValueOnce(0).mockReturnValueOnce(0).mockReturnValue(60_000);
    expect(await dropSilently(brokerOf(true, [message(false)]).broker, new Random(1))).toBe(false);
    jest.restoreAllMocks();
  });
});

import { MSGID_PROPERTY } from '../../src/mailbox/signature';
import type { Broker } from '../standin/broker';
import type { BrokerMessage } from '../standin/message';
import { dropSilently } from './drops';
import { Random } from './random';

const message = (ours: boolean) =>
  ({ properties: ours ? { userProperties: [{ key: MSGID_PROPERTY, value: 'm' }] } : {} }) as unknown as BrokerMessage;

interface FakeSession {
  readonly isConnected: boolean;
  readonly messages: readonly BrokerMessage[];
}

function brokerOf(...sessions: readonly FakeSession[]): { readonly broker: Broker; readonly dropped: BrokerMessage[] } {
  const dropped: BrokerMessage[] = [];
  const fakes = sessions.map(({ isConnected, messages }, i): [string, unknown] => [
    String(i),
    {
      queue: messages.map((each) => ({ message: each })),
      outlet: isConnected ? {} : null,
      dropSilently: (matches: (each: BrokerMessage) => boolean) => dropped.push(...messages.filter(matches)),
    },
  ]);
  return { broker: { sessions: new Map(fakes) } as unknown as Broker, dropped };
}

describe('the fault "EMQX drops without an event"', () => {
  it("drops the server's messages for a connected client", async () => {
    const [ours, theirs] = [message(true), message(false)];
    const { broker, dropped } = brokerOf({ isConnected: true, messages: [theirs, ours] });
    const heard: BrokerMessage[] = [];
    expect(await dropSilently(broker, new Random(1), (each) => heard.push(each))).toBe(true);
    expect([dropped, heard]).toEqual([[ours], [ours]]);
  });

  it('also drops messages of disconnected sessions', async () => {
    const [ours, theirs] = [message(true), message(false)];
    const { broker, dropped } = brokerOf(
      { isConnected: true, messages: [ours] },
      ...Array.from({ length: 20 }, () => ({ isConnected: false, messages: [theirs] })),
    );
    await dropSilently(broker, new Random(1), () => undefined);
    expect(dropped).toContain(theirs);
  });

  it('drops nothing when no connected client has a message of the server', async () => {
    jest.spyOn(performance, 'now').mockReturnValueOnce(0).mockReturnValueOnce(0).mockReturnValue(60_000);
    const { broker, dropped } = brokerOf(
      { isConnected: true, messages: [message(false)] },
      { isConnected: false, messages: [message(true)] },
    );
    expect(await dropSilently(broker, new Random(1), () => undefined)).toBe(false);
    expect(dropped).toEqual([]);
    jest.restoreAllMocks();
  });
});

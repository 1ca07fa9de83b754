/** The process of the broker double. It tells its port, then does what it is asked; an error ends it. */
import { BrokerDouble } from './broker';

export type Call = {
  readonly seq: number;
  readonly name: 'aim' | 'begin' | 'subscribe' | 'outcome' | 'live';
  readonly args: readonly unknown[];
};

const double = new BrokerDouble();

process.on('message', (call: Call) => {
  const method = double[call.name] as (...args: unknown[]) => unknown;
  void Promise.resolve(method.apply(double, [...call.args])).then((result) => process.send?.({ seq: call.seq, result }));
});
process.on('disconnect', () => process.exit());

void double.listen().then((port) => process.send?.({ port }));

import { EventEmitter } from 'node:events';
import type { Server } from 'node:http';
import type { Balancer } from './balancer';
import type { FaultBetween } from './causes';
import { acknowledge, faultOf, newChecker, NO_FAULT, publish } from './checking';
import type { SupervisedServer } from './servers';
import { Stills } from './stills';
import type { Waits } from './waits';

describe('the check of a paused process', () => {
  const still = (faultBetween: FaultBetween) => {
    const checker = newChecker('queue');
    const balancer = { avoid: jest.fn(), readmit: jest.fn() };
    // The other one does not answer: nothing is stored.
    const servers = ['a', 'b'].map(
      (name) =>
        ({
          name,
          port: 1,
          url: 'http://127.0.0.1:1',
          freeze: async (_ms: number, meanwhile: () => Promise<void>) => meanwhile(),
        }) as unknown as SupervisedServer,
    );
    const waits = { longerThan: () => 2 } as unknown as Waits;
    const stills = new Stills(servers, new EventEmitter() as Server, balancer as unknown as Balancer, checker, waits, faultBetween, 1);
    return { checker, stills, balancer, happen: () => stills.happen(servers[0] as SupervisedServer, 1) };
  };

  it('fails when no other server stores events or delivers meanwhile', async () => {
    const { checker, stills, balancer, happen } = still(NO_FAULT);
    await happen();
    expect(stills.failures()).toEqual(['a stood still, and nobody delivered anything: 2 subscribers waited']);
    jest.spyOn(checker, 'acceptedBetween').mockImplementation(() => [...checker.records.values()]);
    publish(checker, 't/g0-0/a', 0);
    await happen();
    expect(stills.failures()[1]).toBe('a stood still, and 1 of 1 messages that the others had accepted were not stored');
    acknowledge(checker, 'g0-0-0', 0);
    await happen();
    expect(stills.failures()[2]).toBe('a stood still, and nobody delivered anything: 2 subscribers waited');
    expect(balancer.readmit).toHaveBeenCalledTimes(3);
  });

  it('reports nothing during an outage of the store, the queue or EMQX', async () => {
    for (const side of ['database', 'emqx'] as const) {
      const { stills, happen } = still(faultOf(side));
      await happen();
      expect(stills.failures()).toEqual([]);
    }
  });
});

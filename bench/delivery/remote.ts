import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { BrokerDouble } from './broker';
import type { Call } from './double';

type Name = Call['name'];

/** The broker double in a process of its own, so that its CPU time is not the harness's. */
export class RemoteDouble {
  private readonly calls = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  private seq = 0;

  private constructor(
    private readonly child: ChildProcess,
    /** Of its REST API. */
    readonly port: number,
  ) {
    child.on('message', ({ seq, result }: { seq: number; result: unknown }) => {
      this.calls.get(seq)?.resolve(result);
      this.calls.delete(seq);
    });
    child.on('exit', () => {
      for (const { reject } of this.calls.values()) reject(new Error('the broker double ended'));
    });
  }

  static async start(): Promise<RemoteDouble> {
    const child = fork(join(__dirname, 'double.ts'), { execArgv: ['--import', 'tsx'] });
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    return new RemoteDouble(child, port);
  }

  call<K extends Name>(name: K, ...args: Parameters<BrokerDouble[K]>): Promise<Awaited<ReturnType<BrokerDouble[K]>>> {
    const seq = this.seq++;
    return new Promise((resolve, reject) => {
      this.calls.set(seq, { resolve: resolve as (result: unknown) => void, reject });
      this.child.send({ seq, name, args } satisfies Call);
    });
  }

  stop(): void {
    this.child.disconnect();
  }
}

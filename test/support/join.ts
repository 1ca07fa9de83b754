import type { Socket } from 'node:net';

/** Two sockets as one: what comes from one goes to the other, and either takes the other along. `open` has them as long as they are. */
export function join(a: Socket, b: Socket, open: Set<Socket>): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    open.add(from);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      open.delete(from);
      to.destroy();
    });
    from.pipe(to);
  }
}

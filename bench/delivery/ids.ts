let microseconds = 0n;
let sequence = 0;

/** Two processes make ids here: as two nodes of a cluster do. */
const NODE = 'F49A' + process.pid.toString(16).padStart(8, '0').slice(-8).toUpperCase();

/** An id as EMQX makes them: the time in microseconds, node and process, a sequence number. Ascending in the order of calls. */
export function emqxId(): string {
  const now = BigInt(Date.now()) * 1_000n;
  microseconds = now > microseconds ? now : microseconds + 1n;
  sequence = (sequence + 1) % 0x10000;
  return microseconds.toString(16).padStart(16, '0').toUpperCase() + NODE + sequence.toString(16).padStart(4, '0').toUpperCase();
}

import { createHash } from 'node:crypto';

/** Of each of two generations, about 5 MB. Beyond it the oldest are forgotten: a message may be sent once more then, as at least once allows. */
const MOST = 25_000;
/** A client id may have 65,535 bytes. */
const LONG = 64;

/**
 * Acknowledgements that this process has accepted of late. Under load they wait in the queue for seconds, and a delivery that is past its fences
 * does not wait for them: what they name is in the store still and must not be sent any more.
 */
export class AcceptedAcks {
  private young = new Set<string>();
  private old = new Set<string>();
  private count = 0;

  constructor(private readonly most = MOST) {}

  /** Before the event is answered. */
  note(id: string, clientid: string): void {
    if (++this.count > this.most) [this.old, this.young, this.count] = [this.young, new Set(), 1];
    this.young.add(id).add(keyOf(id, clientid));
  }

  /** By anybody; or by this client. */
  has(id: string, clientid?: string): boolean {
    const key = clientid === undefined ? id : keyOf(id, clientid);
    return this.young.has(key) || this.old.has(key);
  }
}

function keyOf(id: string, clientid: string): string {
  return `${id}/${clientid.length > LONG ? createHash('sha256').update(clientid).digest('base64url') : clientid}`;
}

/**
 * Just enough of PostgreSQL's wire protocol to cut a byte stream into messages: a one-byte type, a four-byte length that counts
 * itself, a body. The start-up message has no type byte.
 */

export interface WireMessage {
  /** The type byte as a character; '' for a start-up message. */
  readonly type: string;
  readonly bytes: Buffer;
}

/** Cuts what arrives in pieces into whole messages. */
export class WireReader {
  private rest: Buffer = Buffer.alloc(0);

  constructor(private expectStartup: boolean) {}

  read(chunk: Buffer): WireMessage[] {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const messages: WireMessage[] = [];
    for (;;) {
      const header = this.expectStartup ? 0 : 1;
      if (this.rest.length < header + 4) break;
      const length = header + this.rest.readInt32BE(header);
      if (this.rest.length < length) break;
      messages.push({
        type: this.expectStartup ? '' : String.fromCharCode(this.rest[0] ?? 0),
        bytes: this.rest.subarray(0, length),
      });
      this.expectStartup = false;
      this.rest = this.rest.subarray(length);
    }
    return messages;
  }
}

/** A simple Query message. */
export function queryMessage(sql: string): Buffer {
  const text = Buffer.from(`${sql}\0`);
  const message = Buffer.alloc(5 + text.length);
  message.write('Q', 0);
  message.writeInt32BE(4 + text.length, 1);
  text.copy(message, 5);
  return message;
}

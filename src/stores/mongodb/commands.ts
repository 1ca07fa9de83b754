import { eachOf } from '../../base/parallel';
import { split } from '../../base/split';

/**
 * MongoDB takes 48 MB in a command. Smaller commands need less memory on both sides, and each of them ends within
 * socketTimeoutMS on a slow connection.
 */
const MOST_BYTES = 4_000_000;
/** One command keeps one core of the server busy. So a batch of 256 is sent as four commands, on four connections. */
const MOST_DOCUMENTS = 64;
const COMMANDS_AT_ONCE = 4;

/**
 * Sends the items of a batch in commands of limited size, several at once. Only an item that is larger than the limit
 * makes a larger command, alone. Waits for all commands, also if one fails.
 */
export function inCommands<T>(
  items: readonly T[],
  bytesOf: (item: T) => number,
  send: (items: readonly T[]) => Promise<void>,
): Promise<void> {
  return eachOf(split(items, MOST_DOCUMENTS, MOST_BYTES, bytesOf), COMMANDS_AT_ONCE, send);
}

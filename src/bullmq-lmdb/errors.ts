import { ErrorCode } from 'bullmq';

/** A work function returns this instead of throwing, because it may have changed something before. */
export type Refusal = ErrorCode.JobNotExist | ErrorCode.JobLockNotExist | ErrorCode.JobNotInState | ErrorCode.JobLockMismatch;

const TEXTS: Readonly<Record<Refusal, (id: string, command: string, state: string) => string>> = {
  [ErrorCode.JobNotExist]: (id, command) => `Missing key for job ${id}. ${command}`,
  [ErrorCode.JobLockNotExist]: (id, command) => `Missing lock for job ${id}. ${command}`,
  [ErrorCode.JobNotInState]: (id, command, state) => `Job ${id} is not in the ${state} state. ${command}`,
  [ErrorCode.JobLockMismatch]: (id, command, state) => `Lock mismatch for job ${id}. Cmd ${command} from ${state}`,
};

/** An error like BullMQ's own, which BullMQ does not export: it has the same text and code. */
function refusalError(code: Refusal, id: string, command: string, state = ''): Error {
  return Object.assign(new Error(TEXTS[code](id, command, state)), { code });
}

/** Throws when the answer is a refusal. */
export function unlessRefused<T>(answer: T | Refusal, id: string, command: string, state?: string): T {
  if (typeof answer === 'number' && answer < 0) throw refusalError(answer as Refusal, id, command, state);
  return answer as T;
}

export function unsupported(what: string): Error {
  return new Error(`BullMQ's backend on LMDB does not support ${what}`);
}

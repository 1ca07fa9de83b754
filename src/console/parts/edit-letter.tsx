import { useState } from 'preact/hooks';
import { call, type Answer } from '../api/client';
import { ApiProblem } from '../api/problem';
import { useNotices } from '../state/notices';
import { Ask } from './dialog';
import { TextField } from './field';

export type Letter = Answer<'/v1/dead-letters/{id}'>;

interface EditLetterProps {
  readonly letter: Letter;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

/**
 * The event of a dead letter as text: the user repairs it, and the server queues the repaired one in place of the old
 * one.
 */
export function EditLetter({ letter, onDone, onClose }: EditLetterProps) {
  const [text, setText] = useState(() => editableText(letter));
  const { notify } = useNotices();
  const confirm = async (): Promise<void> => {
    const event = parse(text) as never;
    await call('post', '/v1/dead-letters/{id}/retry', { path: { id: letter.id }, body: { event } });
    notify('The edited event is queued, and the dead letter is gone.');
    onDone();
  };
  return (
    <Ask title="Edit and retry" action="Retry with this event" isWide onConfirm={confirm} onClose={onClose}>
      <p class="reason">{letter.reason}</p>
      <TextField
        label="Event as JSON"
        value={text}
        onValue={setText}
        rows={16}
        isRequired
        hint="The server checks the event. If the event is still wrong, the dead letter stays."
      />
    </Ask>
  );
}

/** An event that was posted to a path with its name does not have to name itself; here it must. */
function editableText({ event, source }: Letter): string {
  if (typeof event !== 'string') return JSON.stringify(event, null, 2);
  try {
    const body = JSON.parse(event) as unknown;
    const name = /^POST \/v1\/events\/([^/].*)$/.exec(source ?? '')?.[1];
    const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
    return JSON.stringify(isObject && name !== undefined ? { event: decodeURIComponent(name), ...body } : body, null, 2);
  } catch {
    return event;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new ApiProblem({ type: 'about:blank', title: 'The text is not JSON', status: 0, detail });
  }
}

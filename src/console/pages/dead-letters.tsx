import { useState } from 'preact/hooks';
import { call, download } from '../api/client';
import { toProblem } from '../api/problem';
import { jsonText } from '../parts/bytes';
import { Ask } from '../parts/dialog';
import { EditLetter, type Letter } from '../parts/edit-letter';
import { counted } from '../parts/format';
import { Facts } from '../parts/facts';
import { List, type Column } from '../parts/list';
import { Ago, When } from '../parts/time';
import { useNotices } from '../state/notices';
import { useMayChange, useSession } from '../state/session';
import { usePages } from '../state/use-pages';

type Asking = { readonly kind: 'edit' | 'delete'; readonly letter: Letter } | { readonly kind: 'retry-all' | 'delete-all' } | null;

const COLUMNS: readonly Column<Letter>[] = [
  { name: 'Reason', cell: ({ reason }) => <span class="breakable">{reason}</span> },
  { name: 'Source', cell: ({ source }) => source ?? <span class="dim">-</span>, isExtra: true },
  { name: 'Written', cell: ({ at }) => <Ago at={at} />, isNumber: true },
];

/** The events that could not be processed, with the reasons and the possible actions. */
export function DeadLetters() {
  const [asking, setAsking] = useState<Asking>(null);
  const mayChange = useMayChange();
  const { notify } = useNotices();
  const { noticeProblem } = useSession();
  const list = usePages('dead letters', async (after, signal) => {
    const { letters, next } = await call('get', '/v1/dead-letters', { query: { after, limit: 50 }, signal });
    return { items: letters, next };
  });
  const close = (): void => setAsking(null);
  const hasLetters = (list.items?.length ?? 0) > 0;

  /** Shows an error in a notice, because these actions have no dialog. */
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      noticeProblem(error);
      const { title, detail } = toProblem(error);
      notify(`${title}: ${detail}`, 'problem');
    }
  };
  const retry = (id: string): Promise<void> =>
    attempt(async () => {
      await call('post', '/v1/dead-letters/{id}/retry', { path: { id } });
      notify('The event is queued again, and the dead letter is gone.');
      list.reload();
    });
  const exportAll = (): Promise<void> => attempt(async () => saveFile(await download('/v1/dead-letters/export'), 'dead-letters.ndjson'));

  return (
    <>
      {hasLetters && (
        <div class="buttons">
          <button type="button" onClick={() => void exportAll()}>
            Export
          </button>
          {mayChange && (
            <>
              <button type="button" onClick={() => setAsking({ kind: 'retry-all' })}>
                Retry all ...
              </button>
              <button type="button" class="danger" onClick={() => setAsking({ kind: 'delete-all' })}>
                Delete all ...
              </button>
            </>
          )}
        </div>
      )}
      <List
        caption="Dead letters, oldest first"
        columns={COLUMNS}
        list={list}
        keyOf={({ id }) => id}
        empty="There are no dead letters: the server could process every event."
        details={(letter) => (
          <LetterDetails letter={letter}>
            {mayChange && (
              <div class="buttons">
                <button type="button" onClick={() => setAsking({ kind: 'edit', letter })}>
                  Edit and retry ...
                </button>
                <button type="button" onClick={() => void retry(letter.id)}>
                  Retry as it is
                </button>
                <button type="button" class="danger" onClick={() => setAsking({ kind: 'delete', letter })}>
                  Delete ...
                </button>
              </div>
            )}
          </LetterDetails>
        )}
      />
      {asking?.kind === 'edit' && <EditLetter letter={asking.letter} onDone={list.reload} onClose={close} />}
      {asking?.kind === 'delete' && <DeleteLetter letter={asking.letter} onDone={list.reload} onClose={close} />}
      {asking?.kind === 'retry-all' && <RetryAll onDone={list.reload} onClose={close} />}
      {asking?.kind === 'delete-all' && <DeleteAll onDone={list.reload} onClose={close} />}
    </>
  );
}

function LetterDetails({ letter: { id, reason, event, source, at }, children }: { letter: Letter; children: preact.ComponentChildren }) {
  return (
    <div class="message-details">
      <Facts
        facts={[
          ['Why', <span class="breakable">{reason}</span>],
          ['Refused at', source ?? 'not recorded'],
          ['Written', <When at={at} />],
          ['Id', <code class="breakable">{id}</code>],
        ]}
      />
      <pre tabIndex={0}>{typeof event === 'string' ? (jsonText(event) ?? event) : JSON.stringify(event, null, 2)}</pre>
      {children}
    </div>
  );
}

interface ActionProps {
  readonly onDone: () => void;
  readonly onClose: () => void;
}

function DeleteLetter({ letter, onDone, onClose }: ActionProps & { letter: Letter }) {
  const { notify } = useNotices();
  const confirm = async (): Promise<void> => {
    await call('delete', '/v1/dead-letters/{id}', { path: { id: letter.id } });
    notify('The dead letter is deleted.');
    onDone();
  };
  return (
    <Ask title="Delete this dead letter?" action="Delete dead letter" isDangerous onConfirm={confirm} onClose={onClose}>
      <p>
        This deletes the dead letter with the reason <q>{letter.reason}</q>. Its event is lost. Nobody can undo this.
      </p>
    </Ask>
  );
}

function RetryAll({ onDone, onClose }: ActionProps) {
  const { notify } = useNotices();
  const confirm = async (): Promise<void> => {
    const { accepted } = await call('post', '/v1/dead-letters/retry');
    notify(`${counted(accepted, 'event')} queued again.`);
    onDone();
  };
  return (
    <Ask title="Retry all dead letters?" action="Retry all" onConfirm={confirm} onClose={onClose}>
      <p>The server queues every event that can be retried as it is. The others stay here; retry one alone to see why.</p>
    </Ask>
  );
}

function DeleteAll({ onDone, onClose }: ActionProps) {
  const { notify } = useNotices();
  const confirm = async (): Promise<void> => {
    const { removed } = await call('delete', '/v1/dead-letters');
    notify(`${counted(removed, 'dead letter')} deleted.`);
    onDone();
  };
  return (
    <Ask title="Delete all dead letters?" action="Delete all dead letters" isDangerous onConfirm={confirm} onClose={onClose}>
      <p>This deletes every dead letter, those that are not on this page as well. Their events are lost. Nobody can undo this.</p>
    </Ask>
  );
}

function saveFile(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}

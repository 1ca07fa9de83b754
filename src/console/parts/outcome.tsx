import { useEffect, useState } from 'preact/hooks';
import { call, type Answer } from '../api/client';
import { useLoad } from '../state/use-load';
import { counted } from './format';
import { ProblemBox } from './problem';

/** How often the outcome of a request is read (ms). */
const ASK_MS = 500;

type State = Answer<'/v1/deliveries/{id}'>['state'];

const STATES: Readonly<Record<State, { readonly text: string; readonly badge: string }>> = {
  accepted: { text: 'accepted', badge: 'busy' },
  running: { text: 'running', badge: 'busy' },
  done: { text: 'done', badge: 'good' },
  failed: { text: 'failed', badge: 'bad' },
};

interface BoxProps<T> {
  readonly id: string;
  readonly load: (signal: AbortSignal) => Promise<T>;
  readonly titleOf: (outcome: T) => string;
  readonly resultOf: (outcome: T) => string;
  readonly onOver?: () => void;
}

/** Follows a request that the server works on in the background, until it is over. */
function OutcomeBox<T extends { readonly state: State; readonly detail: string }>({ id, load, titleOf, resultOf, onOver }: BoxProps<T>) {
  const [isOver, setOver] = useState(false);
  const { data, problem } = useLoad(id, load, isOver ? 0 : ASK_MS);
  const isFinal = data?.state === 'done' || data?.state === 'failed';
  useEffect(() => {
    if (!isFinal) return;
    setOver(true);
    onOver?.();
  }, [isFinal]);
  return (
    <div class="card outcome" role="status">
      <ProblemBox problem={problem} />
      {data !== null && (
        <>
          <p>
            <strong>{titleOf(data)}</strong> <span class={`badge ${STATES[data.state].badge}`}>{STATES[data.state].text}</span>
          </p>
          <p>{resultOf(data)}</p>
          <p class="dim">{data.detail}</p>
        </>
      )}
    </div>
  );
}

export function DeliveryOutcome({ id, onOver }: { id: string; onOver?: () => void }) {
  return (
    <OutcomeBox
      key={id}
      id={`delivery ${id}`}
      load={(signal) => call('get', '/v1/deliveries/{id}', { path: { id }, signal })}
      titleOf={({ clientid, topic }) => `Delivery of ${topic} to ${clientid}`}
      resultOf={({ sent }) => `${counted(sent, 'message')} sent.`}
      {...(onOver !== undefined && { onOver })}
    />
  );
}

export function RestoreOutcome({ id }: { id: string }) {
  return (
    <OutcomeBox
      key={id}
      id={`restore ${id}`}
      load={(signal) => call('get', '/v1/retained/restore/{id}', { path: { id }, signal })}
      titleOf={({ filter }) => `Restore of ${filter}`}
      resultOf={({ published, kept, failed }) =>
        `${counted(published, 'message')} published, ${counted(kept, 'topic')} left as EMQX had them, ${failed} failed.`
      }
    />
  );
}

import { agoText, timeText } from './format';
import { useNow } from '../state/use-now';

/** An age that grows while the page is open; the time itself is its title. */
export function Ago({ at, none = 'never' }: { at: number | null; none?: string }) {
  const now = useNow();
  if (at === null) return <span class="dim">{none}</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={timeText(at)}>
      {agoText(at, now)}
    </time>
  );
}

/** The time and its age. */
export function When({ at, none = 'never' }: { at: number | null; none?: string }) {
  if (at === null) return <span class="dim">{none}</span>;
  return (
    <span>
      <span class="nowrap">{timeText(at)}</span>{' '}
      <span class="dim">
        (<Ago at={at} />)
      </span>
    </span>
  );
}

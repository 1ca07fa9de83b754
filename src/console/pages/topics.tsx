import { useState } from 'preact/hooks';
import { call, type Answer } from '../api/client';
import { PurgeDialog } from '../parts/purge';
import { countText } from '../parts/format';
import { FilterSearch } from '../parts/filter-search';
import { List, type Column } from '../parts/list';
import { Ago } from '../parts/time';
import { link, type Place } from '../state/route';
import { useMayChange } from '../state/session';
import { usePages } from '../state/use-pages';

type Topic = Answer<'/v1/topics'>['topics'][number];

/** Which topics have stored messages, how many, and how old the oldest one is. */
export function Topics({ place }: { place: Place }) {
  const filter = place.query.get('filter') ?? '';
  const [purging, setPurging] = useState<string | null>(null);
  const mayChange = useMayChange();
  const list = usePages(`topics ${filter}`, async (after, signal) => {
    const { topics, next } = await call('get', '/v1/topics', { query: { filter, after, limit: 100 }, signal });
    return { items: topics, next };
  });

  const columns: Column<Topic>[] = [
    {
      name: 'Topic',
      cell: ({ topic }) => (
        <a href={link('messages', { filter: topic })} class="breakable">
          {topic}
        </a>
      ),
    },
    { name: 'Messages', cell: ({ messages }) => countText(messages), isNumber: true },
    { name: 'Oldest', cell: ({ oldest_at }) => <Ago at={oldest_at} none="not known" />, isNumber: true },
  ];
  const withButtons: Column<Topic>[] = [
    ...columns,
    {
      name: 'Actions',
      cell: ({ topic }) => (
        <button type="button" class="small danger" aria-label={`Delete the messages of ${topic}`} onClick={() => setPurging(topic)}>
          Delete
        </button>
      ),
      isExtra: true,
    },
  ];

  return (
    <>
      <FilterSearch page="topics" filter={filter} onRepeat={list.reload} />
      <List
        caption="Topics with stored messages"
        columns={mayChange ? withButtons : columns}
        list={list}
        keyOf={({ topic }) => topic}
        empty={filter === '' ? 'No message is stored.' : 'No topic with stored messages matches this filter.'}
      />
      {purging !== null && <PurgeDialog filter={purging} onDone={list.reload} onClose={() => setPurging(null)} />}
    </>
  );
}

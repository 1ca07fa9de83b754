import { call, type Answer } from '../api/client';
import { link } from '../state/route';
import { usePages } from '../state/use-pages';
import { counted } from './format';
import { List, type Column } from './list';

type Client = Answer<'/v1/clients/{clientid}'>;
type Position = Client['positions'][number];

const COLUMNS: readonly Column<Position>[] = [
  {
    name: 'Topic',
    cell: ({ topic }) => (
      <a href={link('messages', { filter: topic })} class="breakable">
        {topic}
      </a>
    ),
  },
  { name: 'Read up to', cell: ({ id }) => (id === null ? <span class="dim">nothing yet</span> : <code class="breakable">{id}</code>) },
  { name: 'Read behind it', cell: ({ receipts }) => counted(receipts.length, 'message'), isNumber: true, isExtra: true },
];

/** How far the client has read each topic of the pubsub mode. Read once: positions of many topics come in pages. */
export function Positions({ client: { clientid } }: { client: Client }) {
  const list = usePages(`positions ${clientid}`, async (after, signal) => {
    const { positions, next } = await call('get', '/v1/clients/{clientid}', { path: { clientid }, query: { after, limit: 50 }, signal });
    return { items: positions, next };
  });
  return (
    <section class="card" aria-labelledby="positions">
      <h2 id="positions">Read positions</h2>
      <List
        caption="Read positions by topic"
        columns={COLUMNS}
        list={list}
        keyOf={({ topic }) => topic}
        empty="There are none. Only topics in pubsub mode have read positions."
      />
    </section>
  );
}

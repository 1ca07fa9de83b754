import { LineChart, StatusStrip, type Series } from '../parts/chart';
import { agoText, countText, durationText, numberText } from '../parts/format';
import { ProblemBox } from '../parts/problem';
import { link } from '../state/route';
import { useHistory, type Check, type Sample, type Stats } from '../state/use-history';
import { useNow } from '../state/use-now';

type Lane = NonNullable<Stats['lanes']>[number];

const RATES = ['accepted', 'stored', 'delivered', 'removed'] as const;

/** The state of the server: figures, four charts of the last five minutes, lanes and dependencies. */
export function Overview() {
  const { samples, problem } = useHistory();
  const latest = samples.at(-1);
  return (
    <>
      <ProblemBox problem={problem} />
      {latest === undefined && <p class="dim">Loading ...</p>}
      {latest !== undefined && (
        <>
          <StatsProblems stats={latest.stats} />
          <Figures stats={lastStats(samples)} />
          <div class="charts">
            <LineChart title="Throughput" unit="per second, mean of the last minute" series={throughput(samples)} />
            <LineChart title="Backlog" unit="stored messages" series={[backlog(samples)]} />
            <LineChart title="Lanes" unit="jobs" series={jobs(samples)} />
            <Dependencies samples={samples} />
          </div>
          <LaneTable lanes={lastStats(samples)?.lanes ?? null} />
        </>
      )}
    </>
  );
}

function lastStats(samples: readonly Sample[]): Stats | null {
  return samples.findLast(({ stats }) => stats !== null)?.stats ?? null;
}

/** Shows why numbers are missing: the server answers, but the store or the queue does not. */
function StatsProblems({ stats }: { stats: Stats | null }) {
  return (
    <>
      {(stats?.problems ?? []).map(({ name, detail }) => (
        <div key={name} class="problem" role="alert">
          <strong>{name}</strong>
          <p>{detail}</p>
        </div>
      ))}
    </>
  );
}

function Figures({ stats }: { stats: Stats | null }) {
  const now = useNow();
  if (stats === null) return null;
  const oldest = stats.oldest_message_at;
  return (
    <ul class="figures">
      <Figure name="Stored messages" value={count(stats.messages)} href={link('messages')} />
      <Figure name="Oldest message" value={oldest === null ? 'none' : agoText(oldest, now)} />
      <Figure name="Dead letters" value={count(stats.dead_letters)} href={link('dead-letters')} isBad={(stats.dead_letters ?? 0) > 0} />
      <Figure name="Running for" value={durationText(stats.uptime_s * 1_000)} />
    </ul>
  );
}

function count(value: number | null): string {
  return value === null ? 'unknown' : countText(value);
}

function Figure({ name, value, href, isBad = false }: { name: string; value: string; href?: string; isBad?: boolean }) {
  return (
    <li class={`card figure ${isBad ? 'bad' : ''}`}>
      <span class="dim">{href === undefined ? name : <a href={href}>{name}</a>}</span>
      <strong>{value}</strong>
    </li>
  );
}

function throughput(samples: readonly Sample[]): Series[] {
  return RATES.map((name, i) => ({
    name,
    colour: (i + 1) as Series['colour'],
    values: samples.map(({ stats }) => stats?.rates[name] ?? null),
  }));
}

function backlog(samples: readonly Sample[]): Series {
  return { name: 'stored', colour: 1, values: samples.map(({ stats }) => stats?.messages ?? null) };
}

function jobs(samples: readonly Sample[]): Series[] {
  return (['waiting', 'active', 'delayed'] as const).map((name, i) => ({
    name,
    colour: (i + 1) as Series['colour'],
    values: samples.map(({ stats }) => (stats?.lanes == null ? null : sum(stats.lanes, name))),
  }));
}

function sum(lanes: readonly Lane[], name: 'waiting' | 'active' | 'delayed'): number {
  return lanes.reduce((all, lane) => all + lane[name], 0);
}

function Dependencies({ samples }: { samples: readonly Sample[] }) {
  const checks = samples.findLast((sample) => sample.checks !== null)?.checks ?? [];
  return (
    <section class="card dependencies" aria-labelledby="dependencies">
      <h2 id="dependencies">Dependencies</h2>
      <ul>
        {checks.map((check) => (
          <Dependency key={check.name} check={check} samples={samples} />
        ))}
      </ul>
      <div class="plot-times dim">
        <span>5 min ago</span>
        <span>now</span>
      </div>
    </section>
  );
}

function Dependency({ check: { name, ok, detail }, samples }: { check: Check; samples: readonly Sample[] }) {
  const states = samples.map(({ checks }) => checks?.find((each) => each.name === name)?.ok ?? null);
  const downs = states.filter((state) => state === false).length;
  const label =
    downs === 0 ? `${name} answered every time in the last 5 minutes` : `${name} was away in ${downs} of ${states.length} checks`;
  return (
    <li>
      <div class="dependency">
        <strong>{name}</strong> <span class={`badge ${ok ? 'good' : 'bad'}`}>{ok ? 'works' : 'is away'}</span>
        <span class="dim">{detail}</span>
      </div>
      <StatusStrip label={label} states={states} />
    </li>
  );
}

function LaneTable({ lanes }: { lanes: readonly Lane[] | null }) {
  if (lanes === null) return <p class="dim">The lanes are unknown as long as the queue is away.</p>;
  const most = Math.max(1, ...lanes.map(({ waiting, active, delayed }) => waiting + active + delayed));
  return (
    <details class="card lanes">
      <summary>All {lanes.length} lanes</summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Lane</th>
            {['Waiting', 'Active', 'Delayed'].map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
            <td class="extra" />
          </tr>
        </thead>
        <tbody>
          {lanes.map(({ name, waiting, active, delayed }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{numberText(waiting)}</td>
              <td class="number">{numberText(active)}</td>
              <td class="number">{numberText(delayed)}</td>
              <td class="extra">
                <progress max={most} value={waiting + active + delayed} aria-hidden="true" />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

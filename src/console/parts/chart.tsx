import { useId } from 'preact/hooks';
import { numberText } from './format';
import { SAMPLES } from '../state/use-history';

export interface Series {
  readonly name: string;
  /** One of the colours 1 to 4 of the style sheet. */
  readonly colour: 1 | 2 | 3 | 4;
  /** The values, oldest first; null where the server did not answer. */
  readonly values: readonly (number | null)[];
}

interface LineChartProps {
  readonly title: string;
  readonly unit: string;
  readonly series: readonly Series[];
}

const WIDTH = 600;
const HEIGHT = 160;

/** The last five minutes as lines. The newest value is at the right edge; the figures are below as text. */
export function LineChart({ title, unit, series }: LineChartProps) {
  const id = useId();
  const top = niceTop(Math.max(...series.flatMap(({ values }) => values.map((value) => value ?? 0)), 0));
  const latest = series.map(({ name, values }) => `${name} ${figure(values)}`).join(', ');
  return (
    <figure class="card chart">
      <figcaption id={id}>
        {title} <span class="dim">{unit}</span>
      </figcaption>
      <div class="plot">
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-labelledby={id} aria-describedby={`${id}-now`}>
          {[0, 0.5, 1].map((share) => (
            <line key={share} class="grid" x1="0" x2={WIDTH} y1={y(share * top, top)} y2={y(share * top, top)} />
          ))}
          {series.map(({ name, colour, values }) => (
            <path key={name} class={`line colour-${colour}`} d={pathOf(values, top)} />
          ))}
        </svg>
        <span class="axis top">{numberText(top)}</span>
        <span class="axis middle">{numberText(top / 2)}</span>
        <span class="axis bottom">0</span>
      </div>
      <div class="plot-times dim">
        <span>5 min ago</span>
        <span>now</span>
      </div>
      <ul class="legend">
        {series.map(({ name, colour, values }) => (
          <li key={name}>
            <span class={`dot colour-${colour}`} /> {name} <strong>{figure(values)}</strong>
          </li>
        ))}
      </ul>
      <span class="off-screen" id={`${id}-now`}>
        Now: {latest}
      </span>
    </figure>
  );
}

function figure(values: Series['values']): string {
  const last = values.at(-1) ?? null;
  return last === null ? 'unknown' : numberText(last);
}

/** The lowest of 1, 2, 5, 10, 20, ... that no value exceeds. */
function niceTop(max: number): number {
  if (max <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(max));
  return ([1, 2, 5, 10].find((factor) => factor * power >= max) ?? 10) * power;
}

function x(index: number, count: number): number {
  return WIDTH - ((count - 1 - index) / (SAMPLES - 1)) * WIDTH;
}

function y(value: number, top: number): number {
  return HEIGHT - 2 - (value / top) * (HEIGHT - 4);
}

/** The SVG path of a series, with a gap where the server did not answer. */
function pathOf(values: Series['values'], top: number): string {
  let isDrawing = false;
  return values
    .map((value, i) => {
      if (value === null) return ((isDrawing = false), '');
      const command = isDrawing ? 'L' : 'M';
      isDrawing = true;
      return `${command}${x(i, values.length).toFixed(1)} ${y(value, top).toFixed(1)}`;
    })
    .join('');
}

/** One bar for each sample: whether a dependency answered. */
export function StatusStrip({ label, states }: { label: string; states: readonly (boolean | null)[] }) {
  const width = WIDTH / SAMPLES;
  return (
    <svg class="strip" viewBox={`0 0 ${WIDTH} 10`} preserveAspectRatio="none" role="img" aria-label={label}>
      {runsOf(states).map(({ from, to, ok }) => (
        <rect
          key={from}
          class={ok === null ? 'unknown' : ok ? 'up' : 'down'}
          x={x(from, states.length) - width}
          width={(to - from + 1) * width + 0.5}
          y="0"
          height="10"
        />
      ))}
    </svg>
  );
}

/** Joins neighbouring samples of one state into one bar. */
function runsOf(states: readonly (boolean | null)[]): { from: number; to: number; ok: boolean | null }[] {
  const runs: { from: number; to: number; ok: boolean | null }[] = [];
  for (const [i, ok] of states.entries()) {
    const last = runs.at(-1);
    if (last !== undefined && last.ok === ok) last.to = i;
    else runs.push({ from: i, to: i, ok });
  }
  return runs;
}

import type { Answer } from '../api/client';

type Sentence = Answer<'/v1/clients/{clientid}'>['explanation'][number];

const LEVELS: Readonly<Record<Sentence['level'], { readonly sign: string; readonly name: string }>> = {
  ok: { sign: '✓', name: 'Works' },
  info: { sign: 'i', name: 'Note' },
  waiting: { sign: '…', name: 'Waiting' },
  problem: { sign: '!', name: 'Problem' },
};

/** The server's sentences, each with a sign that screen readers hear as a word. */
export function Explanation({ sentences }: { sentences: readonly Sentence[] }) {
  return (
    <ul class="explanation">
      {sentences.map(({ level, text }) => (
        <li key={text} class={`level-${level}`}>
          <span class="sign" aria-hidden="true">
            {LEVELS[level].sign}
          </span>
          <span class="off-screen">{LEVELS[level].name}: </span>
          <span class="breakable">{text}</span>
        </li>
      ))}
    </ul>
  );
}

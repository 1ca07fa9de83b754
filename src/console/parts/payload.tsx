import { useId, useState } from 'preact/hooks';
import { bytesOf, hexText, jsonText } from './bytes';
import { bytesText } from './format';

type View = 'Text' | 'JSON' | 'Hex';

/**
 * A payload in the form that the user chooses. At first: JSON where it is JSON, text where it is UTF-8, and hex
 * otherwise.
 */
export function Payload({ payload, text }: { payload: string; text: string | null }) {
  const json = jsonText(text);
  const isStructured = json !== null && /^[[{]/.test(json);
  const [chosen, setChosen] = useState<View>(isStructured ? 'JSON' : text === null ? 'Hex' : 'Text');
  const name = useId();
  const bytes = bytesOf(payload);
  return (
    <section class="payload" aria-label="Payload">
      <fieldset class="views">
        <legend>Payload, {bytesText(bytes.length)}</legend>
        {(['Text', 'JSON', 'Hex'] as const).map((view) => (
          <label key={view} class={view === chosen ? 'chosen' : ''}>
            <input type="radio" name={name} checked={view === chosen} onChange={() => setChosen(view)} />
            {view}
          </label>
        ))}
      </fieldset>
      <pre tabIndex={0} class={chosen === 'Hex' ? 'hex' : ''}>
        {shown(chosen, bytes, text, json)}
      </pre>
    </section>
  );
}

function shown(view: View, bytes: Uint8Array, text: string | null, json: string | null): string {
  if (bytes.length === 0) return '(The payload is empty.)';
  if (view === 'Hex') return hexText(bytes);
  if (text === null) return '(The payload is not UTF-8 text. Choose Hex.)';
  return view === 'JSON' ? (json ?? '(The payload is not JSON. Choose Text.)') : text;
}

/** The beginning of a payload, for one line of a table. */
export function PayloadStart({ payload, text }: { payload: string; text: string | null }) {
  if (payload === '') return <span class="dim">empty</span>;
  if (text === null) return <span class="dim">{bytesText(bytesOf(payload).length)}, not text</span>;
  return <code class="one-line">{text.slice(0, 80)}</code>;
}

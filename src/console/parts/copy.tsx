import { useState } from 'preact/hooks';
import { useNotices } from '../state/notices';

/** A text with a button that copies it. */
export function CopyBox({ label, text }: { label: string; text: string }) {
  const [isCopied, setCopied] = useState(false);
  const { notify } = useNotices();
  const copy = async (): Promise<void> => {
    if (!(await copyText(text))) return notify('The browser did not copy the text. Select it and copy it by hand.', 'problem');
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
    notify(`Copied: ${label}.`);
  };
  return (
    <figure class="copy-box">
      <figcaption>
        {label}
        <button type="button" class="small" onClick={() => void copy()} aria-label={`Copy: ${label}`}>
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      </figcaption>
      <pre tabIndex={0}>{text}</pre>
    </figure>
  );
}

/** Browsers have navigator.clipboard on https and localhost only; the older way works everywhere. */
async function copyText(text: string): Promise<boolean> {
  try {
    if (navigator.clipboard !== undefined) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // The user may have denied the access, or the page may be in the background.
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'off-screen';
  document.body.append(area);
  area.select();
  const isDone = document.execCommand('copy');
  area.remove();
  return isDone;
}

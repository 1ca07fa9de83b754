import type { Notice } from '../state/notices';

/**
 * The results of the user's last actions. The region is there from the start, so that screen readers read out what
 * appears in it.
 */
export function Toasts({ notices, onClose }: { notices: readonly Notice[]; onClose: (id: number) => void }) {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {notices.map(({ id, kind, text }) => (
        <div key={id} class={`toast ${kind}`}>
          <span>{text}</span>
          <button type="button" class="plain" aria-label="Close this notice" onClick={() => onClose(id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}

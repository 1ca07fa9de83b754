import { useLayoutEffect } from 'preact/hooks';
import { PAGES } from '../pages/pages';
import { go } from './route';

/** How long the second key may come after the g, in ms. */
const SECOND_KEY_MS = 1_500;

/**
 * g and a letter open a page, / goes to the search field, ? shows the help. In fields and dialogs keys are what they
 * are.
 */
export function useShortcuts(showHelp: () => void): void {
  // A layout effect listens before the next key can arrive.
  useLayoutEffect(() => {
    let goAt = -Infinity;
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]') !== null)
        return;
      const isSecond = performance.now() - goAt < SECOND_KEY_MS;
      goAt = -Infinity;
      const page = isSecond ? PAGES.find(({ key }) => key === event.key) : undefined;
      if (page !== undefined) go(page.id);
      else if (event.key === 'g') goAt = performance.now();
      else if (event.key === '?') showHelp();
      else if (event.key === '/') document.querySelector<HTMLElement>('[data-search]')?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]') !== null;
}

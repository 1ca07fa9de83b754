import { useState } from 'preact/hooks';
import { PAGES, type PageId } from '../pages/pages';
import { link } from '../state/route';
import { useSession } from '../state/session';
import { THEMES, useTheme, type Theme } from '../state/theme';
import { useHistory } from '../state/use-history';
import { countText } from './format';

/** Navigation and settings: a column beside the page, or a bar with a menu in a narrow window. */
export function Header({ page, onHelp }: { page: PageId; onHelp: () => void }) {
  const { access, version, hasToken, signOut } = useSession();
  const [isOpen, setOpen] = useState(false);
  return (
    <header class={isOpen ? 'open' : ''}>
      <div class="brand">
        <span>
          emqx-offline-store <small class="dim">{version}</small>
        </span>
        <button type="button" class="menu" aria-expanded={isOpen} aria-controls="menu" onClick={() => setOpen(!isOpen)}>
          Menu
        </button>
      </div>
      <div class="menu-content" id="menu">
        <nav aria-label="Pages">
          <ul>
            {PAGES.map(({ id, title }) => (
              <li key={id}>
                <a href={link(id)} aria-current={id === page ? 'page' : undefined} onClick={() => setOpen(false)}>
                  {title}
                  {id === 'dead-letters' && <LetterCount />}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="settings">
          {access === 'read' && <p class="badge">Read only</p>}
          <ThemeChoice />
          <button type="button" class="small" onClick={onHelp}>
            Keyboard shortcuts
          </button>
          {hasToken && (
            <button type="button" class="small" onClick={signOut}>
              Sign out
            </button>
          )}
          {!hasToken && <p class="dim small-text">This server has no ADMIN_TOKEN: everybody who reaches it can use this console.</p>}
        </div>
      </div>
    </header>
  );
}

function LetterCount() {
  const count = useHistory().samples.at(-1)?.stats?.dead_letters ?? 0;
  return count > 0 ? <span class="count">{countText(count)}</span> : null;
}

const THEME_NAMES: Readonly<Record<Theme, string>> = { system: 'As the system', light: 'Light', dark: 'Dark' };

function ThemeChoice() {
  const [theme, setTheme] = useTheme();
  return (
    <label class="theme">
      <span>Colours</span>
      <select value={theme} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
        {THEMES.map((each) => (
          <option key={each} value={each}>
            {THEME_NAMES[each]}
          </option>
        ))}
      </select>
    </label>
  );
}

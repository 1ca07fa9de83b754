import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Header } from './parts/header';
import { Help } from './parts/help';
import { Toasts } from './parts/toasts';
import { PAGES, type PageId } from './pages/pages';
import { Clients } from './pages/clients';
import { DeadLetters } from './pages/dead-letters';
import { Messages } from './pages/messages';
import { Overview } from './pages/overview';
import { Retained } from './pages/retained';
import { SetUp } from './pages/set-up';
import { Topics } from './pages/topics';
import { NoticesContext, type Notice } from './state/notices';
import { usePlace, type Place } from './state/route';
import { useSession } from './state/session';
import { HistoryContext, useSampling } from './state/use-history';
import { useShortcuts } from './state/use-shortcuts';

/** How long a notice is shown (ms). */
const NOTICE_MS = 8_000;

const COMPONENTS: Readonly<Record<PageId, (props: { place: Place }) => preact.JSX.Element>> = {
  overview: Overview,
  topics: Topics,
  messages: Messages,
  clients: Clients,
  'dead-letters': DeadLetters,
  retained: Retained,
  'set-up': SetUp,
};

/** The parts around every page: navigation, notices and help. */
export function Shell() {
  const { noticeProblem } = useSession();
  const place = usePlace();
  const history = useSampling(noticeProblem);
  const [notices, setNotices] = useState<readonly Notice[]>([]);
  const [isHelpOpen, setHelpOpen] = useState(false);
  useShortcuts(() => setHelpOpen(true));

  const close = useCallback((id: number) => setNotices((all) => all.filter((notice) => notice.id !== id)), []);
  const notify = useCallback((text: string, kind: Notice['kind'] = 'ok') => {
    const id = performance.now() + Math.random();
    setNotices((all) => [...all.slice(-3), { id, kind, text }]);
    setTimeout(() => close(id), NOTICE_MS);
  }, []);

  const page = PAGES.find(({ id }) => id === place.page) ?? PAGES[0];
  const Page = COMPONENTS[page.id];
  const heading = useFocusOnChange(page.id);
  useEffect(() => {
    document.title = `${page.title} - emqx-offline-store`;
  }, [page.title]);

  return (
    <NoticesContext.Provider value={{ notify }}>
      <HistoryContext.Provider value={history}>
        <a
          class="skip"
          href="#main"
          onClick={(event) => {
            event.preventDefault();
            heading.current?.focus();
          }}
        >
          Skip to the page
        </a>
        <div class="shell">
          <Header page={page.id} onHelp={() => setHelpOpen(true)} />
          <main id="main">
            <h1 ref={heading} tabIndex={-1}>
              {page.title}
            </h1>
            <Page key={page.id} place={place} />
          </main>
        </div>
        {isHelpOpen && <Help onClose={() => setHelpOpen(false)} />}
        <Toasts notices={notices} onClose={close} />
      </HistoryContext.Provider>
    </NoticesContext.Provider>
  );
}

/** After a change of the page the focus is on its heading, so that keyboard and screen reader begin there. */
function useFocusOnChange(page: string) {
  const heading = useRef<HTMLHeadingElement>(null);
  const last = useRef(page);
  // A layout effect runs before the next key can arrive. A later one would take the focus from a field that somebody
  // types in.
  useLayoutEffect(() => {
    if (last.current !== page) {
      heading.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    last.current = page;
  }, [page]);
  return heading;
}

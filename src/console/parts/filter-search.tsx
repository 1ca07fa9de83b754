import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { PageId } from '../pages/pages';
import { go } from '../state/route';
import { SearchForm } from './field';

interface FilterSearchProps {
  readonly page: PageId;
  /** The topic filter of the list that is shown; empty for all topics. It stands in the page's address. */
  readonly filter: string;
  /** Called if the user searches for the same filter again. */
  readonly onRepeat: () => void;
  readonly children?: ComponentChildren;
}

/** The search of a page whose list is chosen by a topic filter. */
export function FilterSearch({ page, filter, onRepeat, children }: FilterSearchProps) {
  const [wanted, setWanted] = useState(filter);
  return (
    <SearchForm
      label="Topic filter"
      placeholder="# or site/+/state"
      value={wanted}
      onValue={setWanted}
      onSearch={() => (wanted === filter ? onRepeat() : go(page, { filter: wanted }))}
    >
      {children}
    </SearchForm>
  );
}

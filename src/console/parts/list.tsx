import type { ComponentChildren } from 'preact';
import { Fragment } from 'preact';
import { useId, useState } from 'preact/hooks';
import type { Paged } from '../state/use-pages';
import { ProblemBox } from './problem';

export interface Column<T> {
  readonly name: string;
  readonly cell: (item: T) => ComponentChildren;
  readonly isNumber?: boolean;
  /** Whether a narrow window hides the column. */
  readonly isExtra?: boolean;
}

interface ListProps<T> {
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly list: Paged<T>;
  readonly keyOf: (item: T) => string;
  /** The text of an empty list. */
  readonly empty: ComponentChildren;
  /** Shown under a row when the user opens it. The first column has the button. */
  readonly details?: (item: T) => ComponentChildren;
}

/** A table that is read page by page, with rows that can be opened. */
export function List<T>({ caption, columns, list, keyOf, empty, details }: ListProps<T>) {
  const [open, setOpen] = useState<string | null>(null);
  const { items, problem, isLoading, more } = list;
  return (
    <div class="list" aria-busy={isLoading}>
      <ProblemBox problem={problem} />
      {items === null && isLoading && <p class="dim">Loading ...</p>}
      {items !== null && items.length === 0 && <p class="empty">{empty}</p>}
      {items !== null && items.length > 0 && (
        <div class="table-box">
          <table>
            <caption class="off-screen">{caption}</caption>
            <thead>
              <tr>
                {columns.map(({ name, isNumber, isExtra }) => (
                  <th key={name} scope="col" class={classOf(isNumber, isExtra)}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {items.map((item) => {
                const key = keyOf(item);
                const isOpen = open === key;
                const toggle = (): void => setOpen(isOpen ? null : key);
                return <Row key={key} item={item} columns={columns} details={details} isOpen={isOpen} toggle={toggle} />;
              })}
            </tbody>
          </table>
        </div>
      )}
      {more !== null && (
        <p class="more">
          <button type="button" onClick={more} disabled={isLoading}>
            Show more
          </button>
        </p>
      )}
    </div>
  );
}

interface RowProps<T> extends Pick<ListProps<T>, 'columns'> {
  readonly item: T;
  readonly details: ListProps<T>['details'];
  readonly isOpen: boolean;
  readonly toggle: () => void;
}

function Row<T>({ item, columns, details, isOpen, toggle }: RowProps<T>) {
  const id = useId();
  return (
    <Fragment>
      <tr class={isOpen ? 'open' : ''}>
        {columns.map(({ name, cell, isNumber, isExtra }, i) => (
          <td key={name} class={classOf(isNumber, isExtra)}>
            {i === 0 && details !== undefined ? (
              <button type="button" class="row-button" aria-expanded={isOpen} aria-controls={isOpen ? id : undefined} onClick={toggle}>
                {cell(item)}
              </button>
            ) : (
              cell(item)
            )}
          </td>
        ))}
      </tr>
      {isOpen && details !== undefined && (
        <tr class="details" id={id}>
          <td colSpan={columns.length}>{details(item)}</td>
        </tr>
      )}
    </Fragment>
  );
}

function classOf(isNumber = false, isExtra = false): string {
  return [isNumber ? 'number' : '', isExtra ? 'extra' : ''].join(' ').trim();
}

import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

interface TextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onValue: (value: string) => void;
  readonly hint?: ComponentChildren;
  readonly placeholder?: string;
  readonly isRequired?: boolean;
  /** Whether the / key moves the focus to this field. */
  readonly isSearch?: boolean;
  /** Whether the field shows dots instead of letters. */
  readonly isSecret?: boolean;
  /** The number of lines. With more than 1 the field is a text area. */
  readonly rows?: number;
}

/** A label, its field, and what to write there. */
export function TextField({
  label,
  value,
  onValue,
  hint,
  placeholder,
  isRequired = false,
  isSearch = false,
  isSecret = false,
  rows = 1,
}: TextFieldProps) {
  const id = useId();
  const common = {
    id,
    value,
    placeholder,
    required: isRequired,
    spellcheck: false,
    autocomplete: 'off',
    'aria-describedby': hint === undefined ? undefined : `${id}-hint`,
    'data-search': isSearch ? '' : undefined,
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {rows > 1 && <textarea {...common} rows={rows} onInput={(event) => onValue(event.currentTarget.value)} />}
      {rows === 1 && isSecret && <input {...common} type="password" onInput={(event) => onValue(event.currentTarget.value)} />}
      {rows === 1 && !isSecret && <input {...common} type="text" onInput={(event) => onValue(event.currentTarget.value)} />}
      {hint !== undefined && (
        <small id={`${id}-hint`} class="dim">
          {hint}
        </small>
      )}
    </div>
  );
}

interface SearchFormProps {
  readonly label: string;
  readonly value: string;
  readonly placeholder: string;
  readonly action?: string;
  readonly onValue: (value: string) => void;
  readonly onSearch: () => void;
  readonly children?: ComponentChildren;
}

/** One field and its button in a line. */
export function SearchForm({ label, value, placeholder, action = 'Search', onValue, onSearch, children }: SearchFormProps) {
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onSearch();
      }}
    >
      <TextField label={label} value={value} placeholder={placeholder} onValue={onValue} isSearch />
      <button type="submit" class="primary">
        {action}
      </button>
      {children}
    </form>
  );
}

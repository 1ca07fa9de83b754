const KEY = 'emqx-offline-store-token';

/** The token that the user typed in. The browser forgets it when the tab is closed. */
export const token = {
  get: (): string | null => sessionStorage.getItem(KEY),
  set: (value: string): void => sessionStorage.setItem(KEY, value),
  clear: (): void => sessionStorage.removeItem(KEY),
};

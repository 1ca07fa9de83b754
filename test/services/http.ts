/** @throws Error unless it answers 2xx. */
export async function expectOk(url: string, init: RequestInit = {}): Promise<void> {
  const response = await fetch(url, init);
  const body = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${body}`);
}

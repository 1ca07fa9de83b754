import type { Response } from 'supertest';
import { contract } from '../../src/contract/contract';

const validate = contract.validator('#/components/schemas/Problem');

/** The answer is a problem of this kind, as the contract says. */
export function expectProblem(response: Response, status: number, kind: string): void {
  const body: unknown = JSON.parse(response.text);
  expect({ status: response.status, type: (body as { type?: unknown }).type }).toEqual({ status, type: `/problems/${kind}` });
  expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(validate(body)).toEqual([]);
  expect((body as { status: number }).status).toBe(status);
  if (status === 429 || status === 503) expect(response.headers['retry-after']).toMatch(/^[1-9]\d*$/);
}

export function paths(response: Response): string[] {
  const { errors = [] } = JSON.parse(response.text) as { errors?: { path: string }[] };
  return errors.map(({ path }) => path);
}

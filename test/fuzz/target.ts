import { Agent, request } from 'node:http';
import { contract, type Validator } from '../../src/contract/contract';
import type { Case } from './cases';

interface Response {
  readonly $ref?: string;
  readonly content?: Readonly<Record<string, { readonly schema: object }>>;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** Sends cases over kept connections, and says what is wrong with an answer by openapi.yaml. */
export class Target {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 64 });
  private readonly validators = new Map<string, Validator>();

  constructor(private readonly url: string) {}

  send({ path, headers, body }: Case): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        `${this.url}/v1/events`,
        { path, method: 'POST', headers: { ...headers, 'content-length': body.length }, agent: this.agent },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response
            .once('error', reject)
            .once('end', () => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }));
        },
      );
      sent.once('error', reject).end(body);
    });
  }

  /** Nothing is away in a fuzz: a 503 here is an error that nobody has a name for (problem.ts). @returns null when it is as documented */
  flawOf({ status, type, text }: Answer, path: string): string | null {
    const [mediaType = ''] = type.split(';');
    if (status >= 500) return `answered ${status}: ${text}`;
    if (status === 404 && /^\/v1\/events\/+(\?|$)/.test(path)) return null;
    const { responses } = contract.find(
      `/paths/${(path.startsWith('/v1/events/') ? '/v1/events/{event}' : '/v1/events').replaceAll('/', '~1')}/post`,
    ) as { responses: Record<string, Response> };
    const documented = responses[String(status)];
    if (documented === undefined) return `answered ${status}, which is not documented`;
    const response = documented.$ref === undefined ? documented : (contract.find(documented.$ref.slice(1)) as Response);
    const schema = response.content?.[mediaType]?.schema;
    if (schema === undefined) return `answered ${status} with ${type}, which is not documented`;
    const key = `${status} ${mediaType}`;
    const validate = this.validators.get(key) ?? contract.compile(schema);
    this.validators.set(key, validate);
    const flaws = validate(JSON.parse(text));
    return flaws.length === 0 ? null : `answered ${status} with a body that is not documented: ${JSON.stringify(flaws)}`;
  }

  close(): void {
    this.agent.destroy();
  }
}

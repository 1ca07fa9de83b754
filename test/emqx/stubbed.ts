import { clientOf, type TestClient } from './client';
import { Stub, type Answer } from './stub';

/** A stub of EMQX's API and our client of it for each test that starts them; both end with it. */
export class Stubbed {
  stub!: Stub;
  client!: TestClient;

  constructor() {
    afterEach(async () => {
      await this.client.emqx.close();
      await this.stub.stop();
    });
  }

  async start(...script: Answer[]): Promise<TestClient> {
    this.stub = await Stub.start(...script);
    this.client = clientOf(this.stub.url);
    return this.client;
  }
}

import { join } from 'node:path';
import { startProcess } from './processes';
import { maven } from './registries';
import { HOST, PORTS, type Service } from './service';

const NAME = 'dynamodb';
const PORT = PORTS + 800;
const ENDPOINT = `http://${HOST}:${PORT}`;
const REGION = 'us-east-1';

const jars = (): Promise<string> => maven(NAME, { group: 'com.amazonaws', id: 'DynamoDBLocal', version: '2.6.1' });

/** Amazon's own DynamoDB Local, in memory. */
export const dynamodb: Service = {
  name: NAME,
  variables: { TEST_DYNAMODB_URL: `dynamodb://${REGION}?endpoint=${ENDPOINT}` },
  async install() {
    await jars();
  },
  async start() {
    const lib = await jars();
    // One database whatever the credentials and the region.
    const options = ['-inMemory', '-sharedDb', '-disableTelemetry', '-port', String(PORT)];
    const args = ['-Xmx512m', `-Djava.library.path=${lib}`, '-cp', `${lib}/*`, join(__dirname, 'DynamoDbLocal.java'), ...options];
    await startProcess({ service: NAME, command: 'java', args, port: PORT });
  },
  async check() {
    const credential = `test/20200101/${REGION}/dynamodb/aws4_request`;
    const headers = {
      'Content-Type': 'application/x-amz-json-1.0',
      'X-Amz-Target': 'DynamoDB_20120810.ListTables',
      // Its signature is not checked.
      Authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host, Signature=0`,
    };
    const response = await fetch(ENDPOINT, { method: 'POST', headers, body: '{}' });
    if (!response.ok) throw new Error(`DynamoDB Local answers ${response.status}: ${await response.text()}`);
  },
};

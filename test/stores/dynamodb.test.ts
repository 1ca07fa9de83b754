import { withBackends } from '../support/backends';
import { conformance } from './conformance';
import { TestTables } from './dynamodb-tables';

describe('dynamodb', () => {
  withBackends(['dynamodb'], ({ dynamodb: server }) => {
    const tables = new TestTables(server, `conformance_${process.pid}_`);
    afterAll(() => tables.drop());

    conformance('on DynamoDB', { open: async () => tables.open() });
  });
});

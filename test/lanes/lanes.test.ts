import { consuming } from './queue/consuming';
import { onEachQueue } from './queue/kinds';
import { progress } from './queue/progress';
import { putting } from './queue/putting';
import { takeover } from './queue/takeover';

describe('the lanes', () => {
  onEachQueue('offline_lanes', 'lanes/lanes', (kind) => {
    describe('jobs that are added', () => putting(kind));
    describe('their consumers', () => consuming(kind));
    describe('jobs of a process that ends', () => takeover(kind));
    describe('the progress of a lane', () => progress(kind));
  });
});

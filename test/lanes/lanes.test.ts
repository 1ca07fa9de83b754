import { consuming } from './queue/consuming';
import { onEachQueue } from './queue/kinds';
import { progress } from './queue/progress';
import { putting } from './queue/putting';
import { takeover } from './queue/takeover';

describe('the lanes', () => {
  onEachQueue('offline_lanes', 14, (kind) => {
    describe('what is put into them', () => putting(kind));
    describe('their consumers', () => consuming(kind));
    describe('processes that end', () => takeover(kind));
    describe('how far they are', () => progress(kind));
  });
});

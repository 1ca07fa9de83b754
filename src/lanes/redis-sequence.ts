import { errorText, RetryableError } from '../base/errors';
import type { RedisConnection } from '../redis/connect';
import type { LaneProgress, Sequence } from './sequence';

/**
 * How many waiting ids are read from the end of the list that is taken next. BullMQ numbers a queue's jobs in order and
 * keeps the ids of waiting jobs in a list. After a crash some ids at that end may be out of order.
 */
const LOOKED_AT = 1_024;

const PROGRESS = `
local answer = {}
for i = 1, #KEYS, 3 do
  local function least(ids)
    local oldest = -1
    for _, id in ipairs(ids) do
      local number = tonumber(id)
      if number and (oldest < 0 or number < oldest) then oldest = number end
    end
    return oldest
  end
  answer[#answer + 1] = tonumber(redis.call('GET', KEYS[i]) or '0')
  answer[#answer + 1] = least(redis.call('LRANGE', KEYS[i + 1], 0, -1))
  answer[#answer + 1] = least(redis.call('LRANGE', KEYS[i + 2], -tonumber(ARGV[1]), -1))
end
return answer`;

/** How far the lanes are, from BullMQ's own keys: `{prefix}:{queue}:id`, `:active` and `:wait`. */
export class RedisSequence implements Sequence {
  constructor(
    private readonly redis: RedisConnection,
    private readonly prefix: string,
  ) {}

  async progress(lanes: readonly string[]): Promise<ReadonlyMap<string, LaneProgress>> {
    if (lanes.length === 0) return new Map();
    const keys = lanes.flatMap((lane) => ['id', 'active', 'wait'].map((key) => `${this.prefix}:${lane}:${key}`));
    const answer = (await this.redis.eval(PROGRESS, keys.length, ...keys, LOOKED_AT).catch((error: unknown) => {
      throw new RetryableError(`the queue's Redis: ${errorText(error)}`);
    })) as number[];
    return new Map(
      lanes.map((lane, i) => {
        const [tail = 0, active = -1, waiting = -1] = answer.slice(3 * i, 3 * i + 3);
        const left = [active, waiting].filter((number) => number >= 0);
        return [lane, { tail, oldest: left.length === 0 ? null : Math.min(...left), waiting: waiting < 0 ? null : waiting }];
      }),
    );
  }
}

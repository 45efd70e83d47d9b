-- Members of one pool. KEYS: records (node -> json), lives (node -> "incarnation address"), beats (node -> counter),
--       tombstones (incarnation -> seconds).
-- ARGV: operation, then its arguments. Every answer is a flat array of strings that begins with a word.
local records, lives, beats, tombstones = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local DAY = 86400

local function life(node)
  local value = redis.call('HGET', lives, node)
  if not value then return nil end
  return string.match(value, '^(%d+) (.*)$')
end

local function is_dead(incarnation) return redis.call('HEXISTS', tombstones, incarnation) == 1 end

local function bury(incarnation)
  redis.call('HSET', tombstones, incarnation, redis.call('TIME')[1])
  redis.call('EXPIRE', tombstones, DAY)
end

local operations = {}

function operations.register(node, incarnation, address, record)
  if is_dead(incarnation) then return { 'tombstoned' } end
  local before, before_address = life(node)
  local replaced = ''
  if before and before ~= incarnation then
    if before_address ~= address and not is_dead(before) then
      return { 'taken', redis.call('HGET', records, node) or '' }
    end
    bury(before)
    replaced = before
  end
  redis.call('HSET', lives, node, incarnation .. ' ' .. address)
  redis.call('HSET', records, node, record)
  redis.call('HSET', beats, node, '0')
  return { 'accepted', replaced }
end

function operations.beat(node, incarnation, counter, record)
  if is_dead(incarnation) then return { 'tombstoned' } end
  local living = life(node)
  if not living then return { 'unknown' } end
  if living ~= incarnation then return { 'replaced', living } end
  local previous = redis.call('HGET', beats, node) or '0'
  redis.call('HSET', beats, node, counter)
  redis.call('HSET', records, node, record)
  return { 'accepted', previous }
end

function operations.bury(node, incarnation)
  bury(incarnation)
  if life(node) == incarnation then
    redis.call('HDEL', lives, node)
    redis.call('HDEL', records, node)
    redis.call('HDEL', beats, node)
  end
  return { 'done' }
end

function operations.list()
  local answer = { 'members' }
  local all = redis.call('HGETALL', records)
  answer[2] = tostring(#all / 2)
  for i = 1, #all, 2 do
    answer[#answer + 1] = all[i + 1]
    answer[#answer + 1] = redis.call('HGET', beats, all[i]) or '0'
  end
  for _, incarnation in ipairs(redis.call('HKEYS', tombstones)) do answer[#answer + 1] = incarnation end
  return answer
end

local operation = operations[ARGV[1]]
if not operation then return redis.error_reply('unknown operation') end
return operation(unpack(ARGV, 2))

-- Claims of one bucket: everything that changes a room's home goes through here, so that each change is one atomic step.
-- KEYS: claims (room -> "epoch incarnation node"), snapshots (room -> bytes), tombstones (incarnation -> seconds),
--       epoch (highest given), ended (room -> "epoch reason"), specs (room -> "uid-length uid json").
-- ARGV: operation, then its arguments. Every answer is a flat array of strings that begins with a word.
local claims, snapshots, tombstones, highest, ended, specs = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local DAY = 86400

local function text(number) return string.format('%.0f', number) end

local function read(room)
  local value = redis.call('HGET', claims, room)
  if not value then return nil end
  local epoch, incarnation, node = string.match(value, '^(%d+) (%d+) (%S+)$')
  if not epoch then return nil end
  return { epoch = tonumber(epoch), incarnation = incarnation, node = node }
end

local function write(room, epoch, incarnation, node)
  redis.call('HSET', claims, room, text(epoch) .. ' ' .. incarnation .. ' ' .. node)
end

local function held(claim) return { 'held', text(claim.epoch), claim.incarnation, claim.node } end

local function is_dead(incarnation) return redis.call('HEXISTS', tombstones, incarnation) == 1 end

local function bury(incarnation)
  redis.call('HSET', tombstones, incarnation, redis.call('TIME')[1])
  redis.call('EXPIRE', tombstones, DAY)
end

local function raise(epoch)
  if epoch > tonumber(redis.call('GET', highest) or '0') then redis.call('SET', highest, text(epoch)) end
end

-- Above everything given or seen before, and at least the clock, so that it grows even when history was lost.
local function next_epoch(seen)
  local time = redis.call('TIME')
  local epoch = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  epoch = math.max(epoch, tonumber(redis.call('GET', highest) or '0') + 1, seen + 1)
  redis.call('SET', highest, text(epoch))
  return epoch
end

-- given: '' for none, else '+' and the bytes.
local function store_snapshot(room, given)
  if given == '' then
    redis.call('HDEL', snapshots, room)
  else
    redis.call('HSET', snapshots, room, string.sub(given, 2))
  end
end

local function snapshot_of(room)
  local bytes = redis.call('HGET', snapshots, room)
  if bytes then return '+' .. bytes end
  return ''
end

local operations = {}

function operations.claim(room, node, incarnation, floor, snapshot)
  if is_dead(incarnation) then return { 'tombstoned' } end
  local claim = read(room)
  local seen, new = tonumber(floor), 'new'
  if claim then
    if claim.incarnation == incarnation then
      if claim.epoch >= seen then return { 'yours', text(claim.epoch), 'old', snapshot_of(room) } end
      new = 'old'
    elseif not is_dead(claim.incarnation) then
      return held(claim)
    end
    seen = math.max(seen, claim.epoch)
  else
    store_snapshot(room, snapshot)
  end
  redis.call('HDEL', ended, room)
  local epoch = next_epoch(seen)
  write(room, epoch, incarnation, node)
  return { 'yours', text(epoch), new, snapshot_of(room) }
end

function operations.reassert(room, node, incarnation, epoch, snapshot)
  if is_dead(incarnation) then return { 'tombstoned' } end
  local claim, mine = read(room), tonumber(epoch)
  if claim then
    if claim.incarnation == incarnation then
      if claim.epoch >= mine then return { 'done', text(claim.epoch) } end
    elseif not is_dead(claim.incarnation)
        and (claim.epoch > mine or (claim.epoch == mine and tonumber(claim.incarnation) > tonumber(incarnation))) then
      return held(claim)
    end
  end
  raise(mine)
  write(room, mine, incarnation, node)
  store_snapshot(room, snapshot)
  return { 'done', epoch }
end

function operations.save_snapshot(room, incarnation, epoch, snapshot)
  local claim = read(room)
  if not claim then return { 'absent' } end
  if claim.incarnation ~= incarnation or claim.epoch ~= tonumber(epoch) then return held(claim) end
  store_snapshot(room, snapshot)
  return { 'done', epoch }
end

function operations.hand_over(room, from, epoch, node, to, snapshot)
  if is_dead(to) then return { 'tombstoned' } end
  local claim = read(room)
  if claim then
    if claim.incarnation == to then return { 'done', text(claim.epoch) } end
    if claim.incarnation ~= from or claim.epoch ~= tonumber(epoch) then return held(claim) end
  end
  local moved = next_epoch(tonumber(epoch))
  write(room, moved, to, node)
  store_snapshot(room, snapshot)
  return { 'done', text(moved) }
end

function operations.release(room, incarnation, epoch, reason)
  local claim = read(room)
  if claim then
    if claim.incarnation ~= incarnation or claim.epoch ~= tonumber(epoch) then return held(claim) end
    redis.call('HDEL', claims, room)
    redis.call('HDEL', snapshots, room)
  end
  if reason ~= '' then
    redis.call('HSET', ended, room, epoch .. ' ' .. reason)
    redis.call('EXPIRE', ended, DAY)
  end
  return { 'done', epoch }
end

function operations.bury(incarnation)
  bury(incarnation)
  return { 'done' }
end

-- Arguments after the dead incarnation: room, node, incarnation of each move.
function operations.sweep(dead, ...)
  bury(dead)
  local moves, moved = { ... }, { 'moved' }
  for i = 1, #moves, 3 do
    local room, node, to = moves[i], moves[i + 1], moves[i + 2]
    local claim = read(room)
    if claim and claim.incarnation == dead and not is_dead(to) then
      local epoch = next_epoch(claim.epoch)
      write(room, epoch, to, node)
      for _, value in ipairs({ room, text(epoch), to, node }) do moved[#moved + 1] = value end
    end
  end
  return moved
end

function operations.held_by(incarnation)
  local found, all = { 'found' }, redis.call('HGETALL', claims)
  for i = 1, #all, 2 do
    local epoch, holder = string.match(all[i + 1], '^(%d+) (%d+) %S+$')
    if holder == incarnation then
      for _, value in ipairs({ all[i], epoch, snapshot_of(all[i]) }) do found[#found + 1] = value end
    end
  end
  return found
end

-- The uid stands in front of the JSON, so that no script has to parse it.
local function spec_uid(room)
  local value = redis.call('HGET', specs, room)
  if not value then return nil end
  local length, rest = string.match(value, '^(%d+) (.*)$')
  if not length then return nil end
  return string.sub(rest, 1, tonumber(length))
end

function operations.put_spec(room, uid, json)
  local by = spec_uid(room)
  if by and by ~= uid then return { 'taken', by } end
  redis.call('HSET', specs, room, #uid .. ' ' .. uid .. ' ' .. json)
  return { 'done' }
end

function operations.remove_spec(room, uid)
  if spec_uid(room) == uid then redis.call('HDEL', specs, room) end
  return { 'done' }
end

local operation = operations[ARGV[1]]
if not operation then return redis.error_reply('unknown operation') end
return operation(unpack(ARGV, 2))

/** What the scripts that only read have in common. KEYS as in the book's. */
const READING: string = String.raw`
local META, IDS, ENVELOPES, NUMBERS, NAMES, DUE, SLOTS, BOUNDS =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[9], KEYS[10]
local PREFIX = string.sub(META, 1, -5)
local call = redis.call
local function read_many(key, fields)
  if #fields == 0 then return {} end
  return call('HMGET', key, unpack(fields))
end
`;

/**
 * ARGV `now or ''`, then `keys` and at most 1,000 keys, or `range`, from, to, size. Answers
 * `{revision, now, keys, texts}`, each text with its place as a second line.
 */
export const BALANCES_SCRIPT: string = `${READING}${String.raw`
local now = ARGV[1]
if now == '' then
  local time = call('TIME')
  now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end
local keys = {}
if ARGV[2] == 'keys' then
  keys = { unpack(ARGV, 3) }
else
  keys = call('ZRANGEBYLEX', NAMES, ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[5])
end
local texts, numbers, standing = read_many(ENVELOPES, keys), {}, {}
for index, text in ipairs(texts) do
  if text then
    standing[#standing + 1] = index
    numbers[#numbers + 1] = string.match(text, '^%S+')
  end
end
for index, place in ipairs(read_many(NUMBERS, numbers)) do
  local cut = string.find(place, '\n', 1, true)
  texts[standing[index]] = texts[standing[index]] .. '\n' .. string.sub(place, 1, cut - 1)
end
return { call('HGET', META, 'revision') or '0', now, keys, texts }
`}`;

/** ARGV ids, at most 1,000. Answers their texts. */
export const IDS_SCRIPT: string = `${READING}${String.raw`
return read_many(IDS, ARGV)
`}`;

/** ARGV the bucket, then names of grounds. Answers their texts. */
export const GROUNDS_SCRIPT: string = `${READING}${String.raw`
local names = { unpack(ARGV, 2) }
return read_many(PREFIX .. 'grounds:' .. ARGV[1], names)
`}`;

/** ARGV a cursor. Answers the next one and some ids of open holds. */
export const OPEN_IDS_SCRIPT: string = `${READING}${String.raw`
local page = call('ZSCAN', DUE, ARGV[1], 'COUNT', 1000)
local ids = {}
for index = 1, #page[2], 2 do ids[#ids + 1] = page[2][index] end
return { page[1], ids }
`}`;

/**
 * ARGV `1` or `-1` (the direction), the place after which to read or `''`, since, until, how many
 * rows. Answers `{the place to read on after or '', place, row, place, row, …}`: rows of chunks that
 * may hold what is asked, at most 1,000 chunks looked at.
 */
export const JOURNAL_SCRIPT: string = `${READING}${String.raw`
local step, since, most = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[5])
local till, found = tonumber(ARGV[4]), { '' }
local ends = call('HMGET', META, 'first', 'next')
local first, last = tonumber(ends[1] or '0'), tonumber(ends[2] or '0') - 1
local seq = step > 0 and first or last
if ARGV[2] ~= '' then seq = tonumber(ARGV[2]) + step end
if step > 0 then seq = math.max(seq, first) else seq = math.min(seq, last) end
local function text(number) return string.format('%.0f', number) end
for looked = 1, 1000 do
  if seq < first or seq > last then return found end
  local chunk, place = math.floor(seq / 256), seq % 256
  local low, high = string.match(call('HGET', BOUNDS, text(chunk)) or '', '(%-?%d+) (%-?%d+)')
  local from, to = place, 255
  if step < 0 then from, to = math.max(0, first - chunk * 256), place end
  if low and tonumber(high) >= since and tonumber(low) < till then
    local rows = call('LRANGE', PREFIX .. 'journal:' .. text(chunk), from, to)
    for index = 1, #rows do
      local at = step > 0 and index or #rows + 1 - index
      found[#found + 1] = text(chunk * 256 + from + at - 1)
      found[#found + 1] = rows[at]
    end
  end
  seq = step > 0 and (chunk + 1) * 256 or chunk * 256 - 1
  if #found > 2 * most then break end
end
if seq >= first and seq <= last then found[1] = text(seq - step) end
return found
`}`;

/** ARGV since and until. Answers the slots of running totals that begin in that span. */
export const SLOTS_SCRIPT: string = `${READING}${String.raw`
return call('ZRANGEBYSCORE', SLOTS, ARGV[1], '(' .. ARGV[2])
`}`;

/** ARGV slots. Answers the label sets and totals of each. */
export const TOTALS_SCRIPT: string = `${READING}${String.raw`
local all = {}
for index, member in ipairs(ARGV) do all[index] = call('HGETALL', PREFIX .. 'totals:' .. member) end
return all
`}`;

/**
 * ARGV nothing, or the expected revision and the new policy. Answers the policy that stands, `''`
 * for none, and its revision.
 */
export const POLICY_SCRIPT: string = `${READING}${String.raw`
local revision, policy = call('HGET', META, 'revision') or '0', PREFIX .. 'policy'
if ARGV[1] == revision then
  revision = string.format('%.0f', tonumber(revision) + 1)
  call('SET', policy, ARGV[2])
  call('HSET', META, 'revision', revision, 'schema', '1')
end
return { call('GET', policy) or '', revision }
`}`;

/** Answers what the server says of its memory: its eviction policy is one line of it. */
export const SERVER_SCRIPT: string = String.raw`
return { redis.call('INFO', 'memory'), redis.call('HGET', KEYS[1], 'schema') or '' }
`;

/**
 * A ledger read as it stood at one moment, while others go on spending: for as long as the marker
 * of a snapshot lives, every batch keeps what it changes for the first time, and nothing is
 * forgotten. KEYS as in the book's; ARGV 1 is the snapshot.
 */
const SNAPSHOT: string = String.raw`
local META, IDS, ENVELOPES, NUMBERS, NAMES, DUE, SLOTS =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[9]
local PREFIX = string.sub(META, 1, -5)
local MARKER = PREFIX .. 'snapshot:' .. ARGV[1]
local call = redis.call
local LIFE = 60000
if ARGV[2] ~= 'begin' and call('PEXPIRE', MARKER, LIFE) == 0 then return 'lost' end
-- Fields as they stood when the snapshot began, each after its name.
local function as_of(key, kept, fields, texts)
  local all = {}
  if #fields == 0 then return all end
  local before = call('HMGET', kept, unpack(fields))
  texts = texts or call('HMGET', key, unpack(fields))
  for index, field in ipairs(fields) do
    all[#all + 1] = field
    all[#all + 1] = before[index] or texts[index] or ''
  end
  return all
end
local function halves(page)
  local fields, texts = {}, {}
  for index = 1, #page, 2 do
    fields[#fields + 1], texts[#texts + 1] = page[index], page[index + 1]
  end
  return fields, texts
end
`;

/** `begin`: answers the first place of the journal, the place after its last, the last number. */
export const BEGIN_SNAPSHOT_SCRIPT: string = `${SNAPSHOT}${String.raw`
call('SET', MARKER, '1', 'PX', LIFE)
local standing = call('HGET', META, 'snapshots') or ''
call('HSET', META, 'snapshots', standing .. ' ' .. ARGV[1])
local fields = call('HMGET', META, 'first', 'next', 'number')
return { fields[1] or '0', fields[2] or '0', fields[3] or '0' }
`}`;

/** `envelopes`, from, size: answers keys and texts, in the order of keys. */
export const SNAPSHOT_ENVELOPES_SCRIPT: string = `${SNAPSHOT}${String.raw`
local keys = call('ZRANGEBYLEX', NAMES, ARGV[3], '+', 'LIMIT', 0, ARGV[4])
local all, numbers = as_of(ENVELOPES, MARKER .. ':envelopes', keys), {}
for index = 2, #all, 2 do numbers[#numbers + 1] = string.match(all[index], '^%S+') end
if #numbers == 0 then return all end
for index, place in ipairs(call('HMGET', NUMBERS, unpack(numbers))) do
  local cut = string.find(place, '\n', 1, true)
  all[2 * index] = all[2 * index] .. '\n' .. string.sub(place, 1, cut - 1)
end
return all
`}`;

/** `open`, `all` or `changed`, and a cursor: answers the next cursor, and ids with texts. */
export const SNAPSHOT_IDS_SCRIPT: string = `${SNAPSHOT}${String.raw`
local kept, page = MARKER .. ':ids', nil
if ARGV[2] == 'open' then
  page = call('ZSCAN', DUE, ARGV[3], 'COUNT', 500)
  local fields = halves(page[2])
  return { page[1], as_of(IDS, kept, fields) }
end
page = call('HSCAN', ARGV[2] == 'all' and IDS or kept, ARGV[3], 'COUNT', 500)
local fields, texts = halves(page[2])
return { page[1], as_of(IDS, kept, fields, texts) }
`}`;

/** `journal`, from, to: answers the rows of places in one chunk. */
export const SNAPSHOT_JOURNAL_SCRIPT: string = `${SNAPSHOT}${String.raw`
local from, to = tonumber(ARGV[3]), tonumber(ARGV[4])
local chunk = math.floor(from / 256)
local key = PREFIX .. 'journal:' .. string.format('%.0f', chunk)
return call('LRANGE', key, from - chunk * 256, to - chunk * 256)
`}`;

/** `totals`, slots: answers label sets and totals of each. */
export const SNAPSHOT_TOTALS_SCRIPT: string = `${SNAPSHOT}${String.raw`
local all = {}
for index = 3, #ARGV do
  local labels, texts = halves(call('HGETALL', PREFIX .. 'totals:' .. ARGV[index]))
  local pairs_of = {}
  for from = 1, #labels, 1000 do
    local fields, part = {}, {}
    for place = from, math.min(from + 999, #labels) do
      fields[#fields + 1], part[#part + 1] = ARGV[index] .. '\n' .. labels[place], texts[place]
    end
    for place, text in ipairs(as_of('', MARKER .. ':totals', fields, part)) do
      pairs_of[#pairs_of + 1] = place % 2 == 1 and labels[from + (place - 1) / 2] or text
    end
  end
  all[#all + 1] = pairs_of
end
return all
`}`;

/** `end`. */
export const END_SNAPSHOT_SCRIPT: string = `${SNAPSHOT}${String.raw`
call('UNLINK', MARKER, MARKER .. ':envelopes', MARKER .. ':ids', MARKER .. ':totals')
local left = {}
for id in string.gmatch(call('HGET', META, 'snapshots') or '', '%S+') do
  if id ~= ARGV[1] then left[#left + 1] = id end
end
call('HSET', META, 'snapshots', table.concat(left, ' '))
return 'done'
`}`;

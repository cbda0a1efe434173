/**
 * The pages of a ledger, as the scripts that write know them: records are read once, changed in
 * memory, and written at the end, so that whatever goes wrong before leaves everything as it was.
 *
 * KEYS  1 meta, 2 ids, 3 envelopes, 4 numbers, 5 keys, 6 due, 7 closing, 8 gone, 9 slots, 10 bounds
 * ARGV  1 now or '', 2 journalMs, 3 maxEnvelopes, 4 '1' where something is to be written each time,
 *       5 how many grounds follow: the name and the text of each, for the lines in what comes then,
 *       from OWN on, which is each script's own
 */
export const BOOK: string = String.raw`
local META, IDS, ENVELOPES, NUMBERS, NAMES = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local DUE, CLOSING, GONE, SLOTS, BOUNDS = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local PREFIX = string.sub(META, 1, -5)
local MAX, DAY, CHUNK = 9007199254740991, 86400000, 256
local NULL, decode, encode = cjson.null, cjson.decode, cjson.encode
local call, find, sub, match = redis.call, string.find, string.sub, string.match
local tonumber, type, unpack = tonumber, type, unpack
local concat, format, floor = table.concat, string.format, math.floor

-- One function around all that follows: what stands above is found at once by whatever uses it,
-- and not by a search through all that was declared since.
local function run()
local now, journal_ms, max_envelopes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local OWN = 6 + 2 * ARGV[5]
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end

-- Lua writes 10^14 as 1e+14 unless it is told otherwise. '%d' costs half of '%.0f', where Lua's
-- integers have 64 bits.
local WHOLE = format('%d', MAX) == '9007199254740991' and '%d' or '%.0f'
local SPENT_AND_HELD = ' ' .. WHOLE .. ' ' .. WHOLE .. ' '
local function int(number) return format(WHOLE, number) end
local now_text = int(now)

-- A command takes some thousand arguments at most.
local function write(command, key, arguments)
  for from = 1, #arguments, 4000 do
    call(command, key, unpack(arguments, from, math.min(from + 3999, #arguments)))
  end
end
local function read_many(command, key, fields)
  if #fields == 0 then return {} end
  if #fields <= 4000 then return call(command, key, unpack(fields)) end
  local all = {}
  for from = 1, #fields, 4000 do
    local part = call(command, key, unpack(fields, from, math.min(from + 3999, #fields)))
    for index = 1, math.min(4000, #fields - from + 1) do all[from + index - 1] = part[index] end
  end
  return all
end

local fields = call('HMGET', META, 'revision', 'first', 'next', 'envelopes', 'number', 'forgetAt',
  'snapshots')
local revision = tonumber(fields[1] or '0')
local first, next_seq = tonumber(fields[2] or '0'), tonumber(fields[3] or '0')
local count, number = tonumber(fields[4] or '0'), tonumber(fields[5] or '0')
local forget_at = tonumber(fields[6] or '-1')
local snapshots = {}
for id in string.gmatch(fields[7] or '', '%S+') do
  if call('EXISTS', PREFIX .. 'snapshot:' .. id) == 1 then snapshots[#snapshots + 1] = id end
end
local meta_changed = ARGV[4] == '1'

-- What lines are judged by and where their envelopes stand: '[limit,unit,cap,soft,occupied,warn,
-- start,end,group]', a line feed, and the place as JSON. Many lines share one, so holds know it by a
-- name made from its content. They are kept for as long as a hold of their time can live.
local BUCKET = 64 * DAY
local bucket = floor(now / BUCKET)
local bucket_text = int(bucket)
local grounds, stored_grounds, told = {}, {}, {}
for index = 6, OWN - 1, 2 do told[ARGV[index]] = ARGV[index + 1] end
local function grounds_key(of) return PREFIX .. 'grounds:' .. of end
local function ground(name, of)
  local known = grounds[name]
  if known then return known end
  local text = told[name] or call('HGET', grounds_key(of), name)
  if not text then return error('ground ' .. name .. ' is missing') end
  local cut = find(text, '\n', 1, true)
  local said = decode(sub(text, 1, cut - 1))
  local starts, ends = said[7], said[8]
  known = { limit = said[1], unit = said[2], cap = said[3], soft = said[4] == 1, warn = said[6],
    ends = ends, is_now = ends == NULL or (now >= starts and now < ends), group = said[9],
    place = sub(text, cut + 1), text = text }
  grounds[name] = known
  return known
end
-- A hold that is written needs its grounds to be there when it is read.
local new_grounds = {}
local function keep_grounds(lines, from, of)
  for index = from + 1, #lines, 2 do
    local name = lines[index]
    if not stored_grounds[name] then
      stored_grounds[name] = true
      local text = ground(name, of).text
      if call('HEXISTS', grounds_key(bucket_text), name) == 0 then
        new_grounds[#new_grounds + 1], new_grounds[#new_grounds + 2] = name, text
      end
    end
  end
end

-- Envelopes: 'number spent held pruned saturated crossed'. Under their number stand their place, as
-- JSON, a line feed, and their key.
local envelopes, changed_envelopes, touched, places, new_groups = {}, {}, {}, {}, {}
local endings = {}
local function ending_of(text)
  local pruned, saturated, crossed = match(text, '^(%S+) (%S+) (%S+)')
  local ending = { pruned = pruned, saturated = saturated == '1', crossed = crossed }
  endings[text] = ending
  return ending
end
local function parse_envelope(key, text)
  if not text then return false end
  local n, spent, held, rest = match(text, '^(%S+) (%S+) (%S+) (.*)$')
  -- Most envelopes end alike.
  local ending = endings[rest] or ending_of(rest)
  return { key = key, n = n, spent = tonumber(spent), held = tonumber(held),
    pruned = ending.pruned, saturated = ending.saturated, crossed = ending.crossed, before = text }
end
local function load_envelopes(keys)
  local wanted = {}
  for index = 1, #keys do
    local key = keys[index]
    if envelopes[key] == nil then
      envelopes[key] = false
      wanted[#wanted + 1] = key
    end
  end
  local texts = read_many('HMGET', ENVELOPES, wanted)
  for index = 1, #wanted do
    local key = wanted[index]
    envelopes[key] = parse_envelope(key, texts[index])
  end
end
local function find_envelope(key)
  if envelopes[key] == nil then load_envelopes({ key }) end
  return envelopes[key] or nil
end
local function envelope_changed(envelope)
  if touched[envelope] then return end
  touched[envelope] = true
  changed_envelopes[#changed_envelopes + 1] = envelope
end
local function add_envelope(key, place, ends, group)
  number, count = number + 1, count + 1
  local envelope = { key = key, n = int(number), spent = 0, held = 0, pruned = '0',
    saturated = false, crossed = ',', before = '' }
  envelopes[key], places[key] = envelope, place
  if ends ~= NULL then new_groups[group] = ends end
  envelope_changed(envelope)
  return envelope
end
local function envelope_text(e)
  return e.n .. format(SPENT_AND_HELD, e.spent, e.held) .. e.pruned
    .. (e.saturated and ' 1 ' or ' 0 ') .. e.crossed
end

-- Ids: a hold is 'state expiresAt resolvedAt charge bucket renamedFrom', then as it was asked for, a
-- line feed after each: the reserve with its amounts and lines, and its labels. A charge that no hold
-- remembers is 'c' and its place in the journal.
-- From here on a reserve has its lines: their envelopes' keys and the names of grounds in turn. A
-- list of their own would be one more to make, for each reserve and again for each settle.
local LINES = 10
local ids, changed_ids = {}, {}
local function parse_id(id, text)
  if not text then return false end
  -- Most that are asked for are open, and were not renamed.
  local expires, of, at = match(text, '^open (%S+) %- %-1 (%S+) %-\n()')
  if expires then
    return { id = id, state = 'open', expires = expires, resolved = '-', seq = -1, bucket = of,
      origin = NULL, body = sub(text, at), before = text, was_open = true, changed = false,
      resolved_now = false, asked = false }
  end
  local state, resolved, seq, origin
  state, expires, resolved, seq, of, origin, at =
    match(text, '^(%l%S*) (%S+) (%S+) (%S+) (%S+) ([^\n]*)\n()')
  if not state then
    return { id = id, seq = tonumber(sub(text, 2)), before = text, changed = false }
  end
  return { id = id, state = state, expires = expires, resolved = resolved, seq = tonumber(seq),
    bucket = of, origin = origin == '-' and NULL or decode(origin), body = sub(text, at),
    before = text, was_open = state == 'open', changed = false, resolved_now = false, asked = false }
end
local function load_ids(list)
  local wanted = {}
  for index = 1, #list do
    local id = list[index]
    if ids[id] == nil then
      ids[id] = false
      wanted[#wanted + 1] = id
    end
  end
  local texts = read_many('HMGET', IDS, wanted)
  for index = 1, #wanted do ids[wanted[index]] = parse_id(wanted[index], texts[index]) end
end
local function entry(id)
  if ids[id] == nil then load_ids({ id }) end
  local known = ids[id]
  if type(known) == 'string' then
    known = parse_id(id, known)
    known.before = ''
    ids[id] = known
  end
  return known or nil
end
-- A hold that is taken is only text, unless something else happens to it in the same batch.
local new_holds, new_due = {}, {}
local function add_hold(id, text, expires)
  local place = #new_holds
  ids[id] = text
  new_holds[place + 1], new_holds[place + 2] = id, text
  new_due[place + 1], new_due[place + 2] = expires, id
end
local function id_changed(known)
  if known.changed then return end
  known.changed = true
  changed_ids[#changed_ids + 1] = known
end
local function forget_id(known)
  id_changed(known)
  known.forgotten = true
  ids[known.id] = false
end
-- A hold's reserve, taken apart when somebody needs it; its labels more seldom still.
local function open_body(hold)
  if not hold.asked then
    hold.asked = decode(sub(hold.body, 1, find(hold.body, '\n', 1, true) - 1))
  end
  return hold
end
local function open_labels(hold)
  if hold.labels then return hold end
  local said = decode(sub(hold.body, find(hold.body, '\n', 1, true) + 1))
  hold.labels, hold.charges = said[1], said[2] == 'charge'
  hold.said = hold.origin == NULL and said[3] or 'renamed:' .. hold.origin
  return hold
end
local function hold_text(hold)
  return hold.state .. ' ' .. hold.expires .. ' ' .. hold.resolved .. ' '
    .. (hold.seq < 0 and '-1' or int(hold.seq)) .. ' ' .. hold.bucket .. ' '
    .. (hold.origin == NULL and '-' or encode(hold.origin)) .. '\n' .. hold.body
end
-- A hold for whoever asks: its id, its text, and the grounds of its lines in their order.
local function hold_json(hold)
  local asked, texts = open_body(hold).asked, {}
  for index = LINES + 1, #asked, 2 do
    texts[#texts + 1] = encode(ground(asked[index], hold.bucket).text)
  end
  return '[' .. encode(hold.id) .. ',' .. encode(hold_text(hold)) .. ',[' .. concat(texts, ',') .. ']]'
end
`;

import { BOOK } from './book.ts';
import { FLUSH } from './flush.ts';
import { JOURNAL } from './journal.ts';

/**
 * Writes records as they are: see `LedgerStore.writeLedger`. ARGV OWN is the revision that must
 * stand, then comes a record each, as lines of JSON. Answers 1, or 0 with nothing written.
 */
const MAIN: string = String.raw`
if revision ~= tonumber(ARGV[OWN]) then return 0 end
local totals, WRITE = {}, {}

-- ["envelope", key, spent, held, pruned, saturated, crossed, endsAt, group], its place
function WRITE.envelope(said, body)
  local envelope = find_envelope(said[2]) or add_envelope(said[2], body, said[8], said[9])
  envelope.spent, envelope.held, envelope.pruned = said[3], said[4], int(said[5])
  envelope.saturated, envelope.crossed = said[6], said[7]
  envelope_changed(envelope)
end

-- ["hold", id, state, expiresAt, resolvedAt, renamedFrom, amounts, occupied, description, lines],
-- its labels as a reserve has them
function WRITE.hold(said, body)
  local flat, kept = said[10], {}
  for index = 1, #flat, 2 do
    if find_envelope(flat[index]) then
      kept[#kept + 1] = ',' .. encode(flat[index]) .. ',' .. encode(flat[index + 1])
    end
  end
  keep_grounds(flat, 1, bucket_text)
  local standing, occupied = entry(said[2]), {}
  for index, unit in ipairs(said[8]) do occupied[index] = encode(unit) end
  local asked = concat({ '["reserve",', encode(said[2]), ',0,null,0,', amounts_json(said[7]), ',[',
    concat(occupied, ','), '],', said[9] == NULL and 'null' or encode(said[9]), ',false',
    concat(kept), ']' })
  local hold = { id = said[2], state = said[3], expires = int(said[4]), resolved = said[5] ~= NULL and int(said[5]) or '-',
    origin = said[6], bucket = bucket_text, seq = standing and standing.seq or -1,
    was_open = standing and standing.was_open, before = standing and standing.before or '',
    body = asked .. '\n' .. body }
  local remembered = standing and standing.state and standing.resolved == hold.resolved
  hold.resolved_now = hold.resolved ~= '-' and not remembered
  ids[said[2]] = hold
  id_changed(hold)
end

-- ["charge", id, at, amounts, labels, description, held, flags, corrects, crossed], its envelopes
function WRITE.charge(said, body)
  local standing = entry(said[2])
  if standing and standing.seq >= 0 then return end
  local flags = said[8]
  local row = { id = said[2], at = said[3], amounts = said[4], labels = said[5],
    description = said[6], held = said[7] ~= NULL and said[7] or nil, overrun = flags % 2 == 1,
    late = flags % 4 >= 2, abandoned = flags >= 4, corrects = said[9] ~= NULL and said[9] or nil,
    crossed = concat(said[10], ',') }
  local numbers = {}
  for _, key in ipairs(decode(body)) do
    local envelope = find_envelope(key)
    if envelope then numbers[#numbers + 1] = envelope.n end
  end
  row.numbers = concat(numbers, ',')
  append_row(row, standing)
end

-- ["total", slot, startsAt, labels, text]
function WRITE.total(said)
  totals[#totals + 1] = said
end

for index = OWN + 1, #ARGV do
  local text = ARGV[index]
  local cut = find(text, '\n', 1, true)
  local said = decode(sub(text, 1, cut - 1))
  WRITE[said[1]](said, sub(text, cut + 1))
end
flush()
for _, said in ipairs(totals) do
  local key = PREFIX .. 'totals:' .. said[2]
  call('HSET', key, said[4], said[5])
  call('PEXPIRE', key, int(math.max(60000, said[3] + 3 * DAY + journal_ms - now)))
  call('ZADD', SLOTS, int(said[3]), said[2])
end
return 1
end
return run()
`;

export const WRITE_SCRIPT: string = BOOK + JOURNAL + FLUSH + MAIN;

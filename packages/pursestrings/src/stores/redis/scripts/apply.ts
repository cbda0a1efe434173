import { BOOK } from './book.ts';
import { FLUSH } from './flush.ts';
import { FORGET } from './forget.ts';
import { JOURNAL } from './journal.ts';
import { LEDGER } from './ledger.ts';

/**
 * Applies a batch of operations. ARGV from OWN on: an operation each, as JSON; a reserve has a second
 * line of it, with what is seldom looked at. Answers one JSON text:
 * `[now, [answer of each operation], [[hold, charge] of each expiry]]`.
 */
const MAIN: string = String.raw`
local operations, bodies = {}, {}
local wanted_ids, wanted_labels = {}, {}
for index = OWN, #ARGV do
  local text = ARGV[index]
  local cut = find(text, '\n', 1, true)
  local op = decode(cut and sub(text, 1, cut - 1) or text)
  local kind = op[1]
  if kind == 'settle' then
    wanted_labels[#wanted_labels + 1] = op[6]
  elseif kind == 'charge' then
    wanted_labels[#wanted_labels + 1] = op[5]
  elseif kind == 'rename' then
    wanted_ids[#wanted_ids + 1] = op[3]
  end
  wanted_ids[#wanted_ids + 1] = op[2]
  operations[#operations + 1], bodies[#bodies + 1] = op, kind == 'reserve' and text or false
end

local due = call('ZRANGEBYSCORE', DUE, '-inf', int(now), 'LIMIT', 0, 129)
more_due = #due > 128
due[129] = nil
for _, id in ipairs(due) do wanted_ids[#wanted_ids + 1] = id end
load_ids(wanted_ids)

local wanted, many, seen = {}, 0, {}
local function want_envelopes(lines, from)
  for index = from, #lines, 2 do
    local key = lines[index]
    if not seen[key] then
      many = many + 1
      seen[key], wanted[many] = true, key
    end
  end
end
for index = 1, #wanted_ids do
  local known = ids[wanted_ids[index]]
  if known and known.state then want_envelopes(open_body(known).asked, LINES) end
end
for index = 1, #operations do
  local op = operations[index]
  if bodies[index] then
    want_envelopes(op, LINES)
  elseif op[8] then
    want_envelopes(op[8], 1)
  end
end
load_envelopes(wanted)
if #wanted_labels > 0 then
  load_totals(quarter, wanted_labels)
  load_totals(day, wanted_labels)
end

forget(#operations)
for _, id in ipairs(due) do
  local known = entry(id)
  if known and known.state == 'open' and tonumber(known.expires) <= now then
    expire(open_body(known))
  end
end
for index, op in ipairs(operations) do answers[index] = APPLY[op[1]](op, bodies[index]) end
flush()
return '[' .. now_text .. ',[' .. concat(answers, ',') .. '],[' .. concat(expiries, ',') .. ']]'
end
return run()
`;

/** The script that every spend goes through. */
export const APPLY_SCRIPT: string = BOOK + JOURNAL + FLUSH + FORGET + LEDGER + MAIN;

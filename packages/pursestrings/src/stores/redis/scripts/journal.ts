/**
 * The journal and the running totals of a ledger, as the scripts that write know them. Comes after the
 * book.
 */
export const JOURNAL: string = String.raw`
-- One function around the others, so that Lua finds what they use at once: see the book.
local function journal_and_totals()
  -- The journal: lists of CHUNK rows, as JSON. Its numbers never come back. A row that is written
  -- has what it crossed, and the numbers of its envelopes, as texts already.
  local rows = {}
  local function chunk_key(seq) return PREFIX .. 'journal:' .. int(floor(seq / CHUNK)) end
  local function amounts_json(amounts)
    if #amounts == 2 then return '["' .. amounts[1] .. '",' .. format(WHOLE, amounts[2]) .. ']' end
    local parts = {}
    for index = 1, #amounts, 2 do
      parts[#parts + 1] = '"' .. amounts[index] .. '",' .. int(amounts[index + 1])
    end
    return '[' .. concat(parts, ',') .. ']'
  end
  local function row_json(row)
    local amounts = amounts_json(row.amounts)
    local description = row.description == NULL and 'null' or encode(row.description)
    local held = row.held and amounts_json(row.held) or 'null'
    local flags = (row.overrun and 1 or 0) + (row.late and 2 or 0) + (row.abandoned and 4 or 0)
    flags = flags == 0 and '0' or int(flags)
    row.outcome = amounts .. ',' .. description .. ',' .. held .. ',' .. flags .. ',[' .. row.crossed .. ']'
    return '[' .. encode(row.id) .. ',' .. (row.at == now and now_text or int(row.at)) .. ','
      .. encode(row.labels) .. ',' .. row.outcome .. ','
      .. (row.corrects and encode(row.corrects) or 'null') .. ',[' .. row.numbers .. ']]'
  end
  local function parse_row(text)
    local said = decode(text)
    local flags = said[7]
    return { id = said[1], at = said[2], labels = said[3], amounts = said[4], description = said[5],
      held = said[6] ~= NULL and said[6] or nil, abandoned = flags >= 4, numbers = said[10],
      text = text }
  end
  local function find_charge(id)
    local known = entry(id)
    if not known or known.seq < 0 then return nil end
    local text = rows[known.seq] or call('LINDEX', chunk_key(known.seq), known.seq % CHUNK)
    return text and parse_row(text) or nil
  end

  -- Running totals: 'charges denials unit:steps ...' by label set, for a quarter-hour and a UTC day.
  local OTHER = '{"(other)":"(other)"}'
  local function new_slot(name, length)
    local starts = floor(now / length) * length
    local member = name .. int(starts)
    return { key = PREFIX .. 'totals:' .. member, member = member, starts = starts, sets = {}, changed = {} }
  end
  local quarter, day = new_slot('q', 900000), new_slot('d', DAY)
  local function parse_total(text)
    local charges, denials, at = match(text, '^(%d+) (%d+)()')
    local total = { charges = tonumber(charges), denials = tonumber(denials), units = {}, steps = {},
      before = text }
    for unit, steps in string.gmatch(sub(text, at), '(%S+):(%-?%d+)') do
      total.units[#total.units + 1] = unit
      total.steps[unit] = tonumber(steps)
    end
    return total
  end
  local function load_totals(slot, list)
    local wanted = {}
    local sets = slot.sets
    for index = 1, #list do
      local labels = list[index]
      if sets[labels] == nil then
        sets[labels] = false
        wanted[#wanted + 1] = labels
      end
    end
    local texts = read_many('HMGET', slot.key, wanted)
    for index = 1, #wanted do
      sets[wanted[index]] = texts[index] and parse_total(texts[index]) or false
    end
  end
  local function find_total(slot, labels)
    if slot.sets[labels] == nil then load_totals(slot, { labels }) end
    return slot.sets[labels] or nil
  end
  local function total_of(slot, labels)
    local total = find_total(slot, labels)
    if not total then
      slot.size = (slot.size or call('HLEN', slot.key))
      if slot.size == 0 then slot.opened = true end
      slot.size = slot.size + 1
      total = { charges = 0, denials = 0, units = {}, steps = {}, before = '' }
      slot.sets[labels] = total
    end
    if not total.changed then
      total.changed = true
      slot.changed[#slot.changed + 1] = labels
    end
    return total
  end
  local function totals_for(labels)
    if not find_total(quarter, labels) then
      quarter.size = quarter.size or call('HLEN', quarter.key)
      if quarter.size >= 1000 then labels = OTHER end
    end
    return total_of(quarter, labels), total_of(day, labels)
  end
  local function add_amounts(total, amounts)
    for index = 1, #amounts, 2 do
      local unit, standing = amounts[index], total.steps[amounts[index]]
      if standing then
        total.steps[unit] = math.min(standing + amounts[index + 1], MAX)
      else
        total.units[#total.units + 1] = unit
        total.steps[unit] = amounts[index + 1]
      end
    end
    total.charges = total.charges + 1
  end
  local function count_denial(labels)
    local in_quarter, in_day = totals_for(labels)
    in_quarter.denials, in_day.denials = in_quarter.denials + 1, in_day.denials + 1
  end
  local function total_text(total)
    local text = int(total.charges) .. ' ' .. int(total.denials)
    for _, unit in ipairs(total.units) do text = text .. ' ' .. unit .. ':' .. int(total.steps[unit]) end
    return text
  end

  -- Appends to the journal; with a hold, the charge stands under the hold's id.
  local new_rows = {}
  local function append_row(row, hold)
    local seq = next_seq
    next_seq = seq + 1
    row.text = row_json(row)
    rows[seq] = row.text
    new_rows[#new_rows + 1] = row
    if hold then
      hold.seq = seq
      id_changed(hold)
    else
      local known = { id = row.id, seq = seq, before = '' }
      ids[row.id] = known
      id_changed(known)
    end
  end
  local function add_charge(row, hold)
    append_row(row, hold)
    local in_quarter, in_day = totals_for(row.labels)
    add_amounts(in_quarter, row.amounts)
    add_amounts(in_day, row.amounts)
  end

  return chunk_key, amounts_json, parse_row, find_charge, quarter, day, load_totals, count_denial,
    total_text, new_rows, append_row, add_charge
end
local chunk_key, amounts_json, parse_row, find_charge, quarter, day, load_totals, count_denial,
  total_text, new_rows, append_row, add_charge = journal_and_totals()
`;

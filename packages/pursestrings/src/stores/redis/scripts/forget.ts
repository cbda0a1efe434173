/**
 * Forgets what is past its time, a bounded part of it: charges are folded into their envelopes,
 * resolved holds leave the ids, closed windows and old totals go.
 */
export const FORGET: string = String.raw`
local HOLD_MEMORY, FORGET_EVERY = 604800000, 60000

-- Keys and units of envelopes by their numbers; those that were forgotten have none.
local function find_numbers(numbers)
  local texts, named = read_many('HMGET', NUMBERS, numbers), {}
  for index, n in ipairs(numbers) do
    local text = texts[index]
    if text and not named[n] then
      local cut = find(text, '\n', 1, true)
      named[n] = { key = sub(text, cut + 1), unit = decode(sub(text, 1, cut - 1))[2] }
    end
  end
  return named
end

-- Its functions are made when they are needed: mostly there is nothing to forget yet.
local function forget_now(operations)
  local function fold_charge(seq, row)
    for _, n in ipairs(row.numbers) do
      local named = row.names[int(n)]
      local envelope = named and find_envelope(named.key)
      if envelope and not envelope.saturated then
        for index = 1, #row.amounts, 2 do
          if row.amounts[index] == named.unit then
            envelope.pruned = int(envelope.pruned + row.amounts[index + 1])
            envelope_changed(envelope)
          end
        end
      end
    end
    local known = entry(row.id)
    if known and known.seq == seq then
      if known.state then
        known.seq = -1
        id_changed(known)
      else
        forget_id(known)
      end
    end
  end

  -- The rows that are old enough, with the names of the envelopes that they were posted to.
  local function old_rows(before, at_most)
    local old, numbers, wanted_ids, seq = {}, {}, {}, first
    while #old < at_most and seq < next_seq do
      local from = seq % CHUNK
      local texts = call('LRANGE', chunk_key(seq), from, math.min(CHUNK, from + at_most - #old) - 1)
      if #texts == 0 then break end
      for _, text in ipairs(texts) do
        local row = parse_row(text)
        if row.at > before then return old, numbers, wanted_ids end
        old[#old + 1] = row
        wanted_ids[#wanted_ids + 1] = row.id
        for _, n in ipairs(row.numbers) do numbers[#numbers + 1] = int(n) end
        seq = seq + 1
      end
    end
    return old, numbers, wanted_ids
  end

  local function fold_old_charges(before, at_most)
    local old, numbers, wanted_ids = old_rows(before, at_most)
    if #old == 0 then return false end
    local names, keys = find_numbers(numbers), {}
    for _, named in pairs(names) do keys[#keys + 1] = named.key end
    load_envelopes(keys)
    load_ids(wanted_ids)
    for _, row in ipairs(old) do
      row.names = names
      fold_charge(first, row)
      first = first + 1
      if first % CHUNK == 0 then taken.chunks[#taken.chunks + 1] = int(first / CHUNK - 1) end
    end
    meta_changed = true
    return #old == at_most
  end

  local function forget_resolved_holds(at_most)
    local due, times, list = call('LRANGE', GONE, 0, at_most - 1), {}, {}
    for index, text in ipairs(due) do
      local at, id = match(text, '^(%-?%d+) (.*)$')
      if tonumber(at) + HOLD_MEMORY > now then break end
      times[index], list[index] = at, id
    end
    load_ids(list)
    for index, id in ipairs(list) do
      local hold = entry(id)
      if hold and hold.state and hold.resolved == times[index] then
        if hold.seq < 0 then
          forget_id(hold)
        else
          hold.state = nil
          id_changed(hold)
        end
      end
    end
    taken.gone = #list
    return #list == at_most
  end

  -- The envelopes of a window lie in groups, and close together; one with money held is kept.
  local function forget_closed_group(group, at_most)
    local keys = call('ZRANGEBYLEX', NAMES, '[' .. group, '(' .. group .. '}', 'LIMIT', 0, at_most)
    local closed = {}
    for _, key in ipairs(keys) do
      if key == group or sub(key, 1, #group + 1) == group .. '|' then closed[#closed + 1] = key end
    end
    load_envelopes(closed)
    local kept = 0
    for _, key in ipairs(closed) do
      local envelope = find_envelope(key)
      if envelope and envelope.held > 0 then
        kept = kept + 1
      else
        taken.envelopes[#taken.envelopes + 1] = envelope or { key = key, n = '0' }
        envelopes[key] = false
        if envelope then count = count - 1 end
      end
    end
    local full = #keys == at_most
    if full and kept < #closed then return true end
    if kept > 0 or full then
      taken.later[#taken.later + 1], taken.later[#taken.later + 2] = int(now + DAY), group
    else
      taken.groups[#taken.groups + 1] = group
    end
    return false
  end

  local function forget_closed_envelopes(at_most)
    local groups = call('ZRANGEBYSCORE', CLOSING, '-inf', now_text, 'LIMIT', 0, 16)
    local more = #groups == 16
    for _, group in ipairs(groups) do
      if #taken.envelopes >= at_most then return true end
      more = forget_closed_group(group, at_most) or more
    end
    return more
  end

  local function forget_totals(before)
    taken.slots = call('ZRANGEBYSCORE', SLOTS, '-inf', int(before - DAY), 'LIMIT', 0, 16)
    return #taken.slots == 16
  end

  local at_most = math.max(256, 2 * operations)
  local more = fold_old_charges(now - journal_ms, at_most)
  more = forget_resolved_holds(at_most) or more
  more = forget_closed_envelopes(at_most) or more
  more = forget_totals(now - journal_ms) or more
  forget_at = more and now or now + FORGET_EVERY
  meta_changed = true
end

-- More than a batch can add, so that forgetting keeps up with any load. Readers of a snapshot need
-- what was there when they began, so it waits for them.
local function forget(operations)
  -- A clock that was set back brings the next time nearer again.
  if now < forget_at and forget_at <= now + FORGET_EVERY then return end
  if #snapshots > 0 then return end
  forget_now(operations)
end
`;

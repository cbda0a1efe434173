/** Writes what a script changed, each key by as few commands as can be. */
export const FLUSH: string = String.raw`
-- What forgetting takes away, written before anything is added.
local taken = { chunks = {}, gone = 0, envelopes = {}, groups = {}, later = {}, slots = {} }

-- Its functions are made within it, so that what they use is found once.
local function flush()
  -- A reader in the middle of a snapshot finds what stood before, once it was changed.
  local function keep_for_snapshots()
    for _, id in ipairs(snapshots) do
      local of_envelopes = PREFIX .. 'snapshot:' .. id .. ':envelopes'
      local of_ids = PREFIX .. 'snapshot:' .. id .. ':ids'
      local of_totals = PREFIX .. 'snapshot:' .. id .. ':totals'
      for _, envelope in ipairs(changed_envelopes) do
        if envelope.before ~= '' then call('HSETNX', of_envelopes, envelope.key, envelope.before) end
      end
      for index = 1, #new_holds, 2 do call('HSETNX', of_ids, new_holds[index], '') end
      for _, known in ipairs(changed_ids) do call('HSETNX', of_ids, known.id, known.before) end
      for _, slot in ipairs({ quarter, day }) do
        for _, labels in ipairs(slot.changed) do
          call('HSETNX', of_totals, slot.member .. '\n' .. labels, slot.sets[labels].before)
        end
      end
      call('PEXPIRE', of_envelopes, 900000)
      call('PEXPIRE', of_ids, 900000)
      call('PEXPIRE', of_totals, 900000)
    end
  end

  local function write_taken()
    if #taken.chunks > 0 then
      local names = {}
      for _, chunk in ipairs(taken.chunks) do names[#names + 1] = PREFIX .. 'journal:' .. chunk end
      call('UNLINK', unpack(names))
      call('HDEL', BOUNDS, unpack(taken.chunks))
    end
    if taken.gone > 0 then call('LTRIM', GONE, taken.gone, -1) end
    if #taken.envelopes > 0 then
      local names, numbers = {}, {}
      for index, envelope in ipairs(taken.envelopes) do
        names[index], numbers[index] = envelope.key, envelope.n
      end
      write('HDEL', ENVELOPES, names)
      write('HDEL', NUMBERS, numbers)
      write('ZREM', NAMES, names)
    end
    write('ZREM', CLOSING, taken.groups)
    write('ZADD', CLOSING, taken.later)
    for _, member in ipairs(taken.slots) do
      call('UNLINK', PREFIX .. 'totals:' .. member)
      call('ZREM', SLOTS, member)
    end
  end

  local function write_envelopes()
    local texts, numbers, names, closing, place = {}, {}, {}, {}, 0
    for index = 1, #changed_envelopes do
      local e = changed_envelopes[index]
      if envelopes[e.key] == e then
        texts[place + 1], texts[place + 2] = e.key, envelope_text(e)
        place = place + 2
        if e.before == '' then
          numbers[#numbers + 1], numbers[#numbers + 2] = e.n, places[e.key] .. '\n' .. e.key
          names[#names + 1], names[#names + 2] = 0, e.key
        end
      end
    end
    for group, ends in pairs(new_groups) do
      closing[#closing + 1], closing[#closing + 2] = int(ends + DAY), group
    end
    write('HSET', ENVELOPES, texts)
    write('HSET', NUMBERS, numbers)
    write('ZADD', NAMES, names)
    write('ZADD', CLOSING, closing)
    if #new_grounds > 0 then
      write('HSET', grounds_key(bucket_text), new_grounds)
      -- A hold lives at most 400 days from now, and is remembered for 7 more.
      call('PEXPIRE', grounds_key(bucket_text), int(BUCKET + 408 * DAY))
    end
  end

  local function write_ids()
    local texts, forgotten, due, done, gone = new_holds, {}, new_due, {}, {}
    local place = #texts
    for index = 1, #changed_ids do
      local known = changed_ids[index]
      if known.forgotten then
        if not ids[known.id] then forgotten[#forgotten + 1] = known.id end
      elseif known.state then
        texts[place + 1], texts[place + 2] = known.id, hold_text(known)
        place = place + 2
        if known.state == 'open' then
          due[#due + 1], due[#due + 2] = known.expires, known.id
        elseif known.was_open then
          done[#done + 1] = known.id
        end
        if known.resolved_now then gone[#gone + 1] = known.resolved .. ' ' .. known.id end
      else
        texts[place + 1], texts[place + 2] = known.id, 'c' .. int(known.seq)
        place = place + 2
      end
    end
    write('HDEL', IDS, forgotten)
    write('HSET', IDS, texts)
    write('ZADD', DUE, due)
    write('ZREM', DUE, done)
    write('RPUSH', GONE, gone)
  end

  local function write_rows()
    local seq, place = next_seq - #new_rows, 1
    while place <= #new_rows do
      local chunk = floor(seq / CHUNK)
      local low, high = match(call('HGET', BOUNDS, int(chunk)) or '', '(%-?%d+) (%-?%d+)')
      low, high = tonumber(low or new_rows[place].at), tonumber(high or new_rows[place].at)
      local texts = {}
      while place <= #new_rows and floor(seq / CHUNK) == chunk do
        local row = new_rows[place]
        texts[#texts + 1] = row.text
        low, high = math.min(low, row.at), math.max(high, row.at)
        place, seq = place + 1, seq + 1
      end
      write('RPUSH', PREFIX .. 'journal:' .. int(chunk), texts)
      call('HSET', BOUNDS, int(chunk), int(low) .. ' ' .. int(high))
    end
  end

  local function write_totals(slot)
    if #slot.changed == 0 then return end
    local texts = {}
    for _, labels in ipairs(slot.changed) do
      texts[#texts + 1], texts[#texts + 2] = labels, total_text(slot.sets[labels])
    end
    write('HSET', slot.key, texts)
    if slot.opened then
      call('PEXPIRE', slot.key, int(slot.starts + 3 * DAY + journal_ms - now))
      call('ZADD', SLOTS, int(slot.starts), slot.member)
    end
  end

  local changes = #changed_envelopes + #changed_ids + #new_holds
  if #snapshots > 0 then keep_for_snapshots() end
  write_taken()
  write_envelopes()
  write_ids()
  write_rows()
  write_totals(quarter)
  write_totals(day)
  if meta_changed then
    call('HSET', META, 'revision', int(revision), 'first', int(first), 'next', int(next_seq),
      'envelopes', int(count), 'number', int(number), 'forgetAt', int(forget_at),
      'snapshots', concat(snapshots, ' '), 'schema', '1')
  elseif changes > 0 then
    call('HSET', META, 'next', int(next_seq), 'envelopes', int(count), 'number', int(number))
  end
end
`;

/**
 * What an operation does to a ledger: the arithmetic of `ledger/apply.ts` and `ledger/envelope.ts`
 * again, where no round trip lies between looking and writing. Functions bear the same names.
 */
export const LEDGER: string = String.raw`
local answers, expiries, more_due = {}, {}, false

-- One function around the others, so that Lua finds what they use at once: from outside of it they
-- would look through everything that was declared before, each time that the script runs.
local function operations_of_a_ledger()
  local function steps_of(amounts, unit)
    if amounts[1] == unit then return amounts[2] end
    for index = 3, #amounts, 2 do
      if amounts[index] == unit then return amounts[index + 1] end
    end
    return 0
  end
  local function same_amounts(a, b)
    if #a ~= #b then return false end
    for index = 1, #a do
      if a[index] ~= b[index] then return false end
    end
    return true
  end

  local function saturate(e) e.spent, e.saturated = MAX, true end
  local function add_held(e, steps)
    if e.held + steps > MAX then saturate(e) end
    if not e.saturated then e.held = e.held + steps end
  end
  -- A saturated envelope stopped counting, so it cannot know whether all of it was added.
  local function free_held(e, steps)
    e.held = e.saturated and math.max(0, e.held - steps) or e.held - steps
  end
  local function add_spent(e, steps)
    if e.saturated then return end
    e.spent = e.spent + steps
    if e.spent > MAX then saturate(e) end
  end
  local function cross_warnings(e, g, crossed)
    for index = 1, #g.warn, 2 do
      local fraction = g.warn[index]
      if e.spent < g.warn[index + 1] then break end
      if not find(e.crossed, ',' .. fraction .. ',', 1, true) then
        e.crossed = e.crossed .. fraction .. ','
        crossed = crossed .. (crossed == '' and '' or ',') .. encode(g.limit) .. ',"' .. g.unit
          .. '",' .. fraction
      end
    end
    return crossed
  end
  local function fits(g, steps, e)
    if g.soft then return true end
    if steps == 0 then return g.cap > 0 end
    if not e then return steps <= g.cap end
    return steps <= g.cap - e.spent - e.held
  end

  -- Lines come flat: envelopes' keys and the names of grounds in turn; looked up, they are envelopes
  -- (false for one that was forgotten with its window) and grounds in turn.
  local function held_lines(hold)
    local asked, of = open_body(hold).asked, hold.bucket
    local lines, place = {}, 0
    for index = LINES, #asked, 2 do
      local key, name = asked[index], asked[index + 1]
      lines[place + 1] = envelopes[key] or find_envelope(key) or false
      lines[place + 2] = grounds[name] or ground(name, of)
      place = place + 2
    end
    return lines
  end
  local function open_line(key, g)
    return find_envelope(key) or add_envelope(key, g.place, g.ends, g.group)
  end
  local function open_lines(flat, lines)
    for index = 1, #flat, 2 do
      local g = ground(flat[index + 1], bucket_text)
      lines[#lines + 1] = open_line(flat[index], g)
      lines[#lines + 1] = g
    end
    return lines
  end
  local function windows_contain(flat, from)
    for index = from + 1, #flat, 2 do
      local g = grounds[flat[index]] or ground(flat[index], bucket_text)
      if not g.is_now then return false end
    end
    return true
  end

  -- The part of amounts that is charged: occupied units come back instead.
  local function chargeable(hold, amounts)
    local units = hold.asked[7]
    if #units == 0 then return amounts end
    local kept = {}
    for index = 1, #amounts, 2 do
      local occupied = false
      for _, unit in ipairs(units) do occupied = occupied or unit == amounts[index] end
      if not occupied then kept[#kept + 1], kept[#kept + 2] = amounts[index], amounts[index + 1] end
    end
    return kept
  end
  local function by_unit(steps)
    local units, sorted = {}, {}
    for unit in pairs(steps) do units[#units + 1] = unit end
    table.sort(units)
    for _, unit in ipairs(units) do
      sorted[#sorted + 1], sorted[#sorted + 2] = unit, steps[unit]
    end
    return sorted
  end
  local function steps_by_unit(amounts, into)
    for index = 1, #amounts, 2 do into[amounts[index]] = amounts[index + 1] end
    return into
  end
  local function actual_amounts(hold, said)
    local kept = chargeable(hold, hold.asked[6])
    if #said == 0 then return kept end
    if #kept == #said and #said == 2 and kept[1] == said[1] then return said end
    return by_unit(steps_by_unit(said, steps_by_unit(kept, {})))
  end
  local function difference(actual, charged)
    local steps = steps_by_unit(actual, {})
    for index = 1, #charged, 2 do
      steps[charged[index]] = (steps[charged[index]] or 0) - charged[index + 1]
    end
    return by_unit(steps)
  end

  local function settle_row(hold, amounts, labels, description)
    return { id = hold.id, at = now, amounts = amounts, labels = labels,
      description = description == NULL and hold.asked[8] or description,
      held = chargeable(hold, hold.asked[6]), late = hold.state ~= 'open', overrun = false,
      abandoned = false, corrects = false, numbers = false, crossed = false, outcome = false,
      text = false }
  end
  local function correction_row(hold, amounts, labels, description)
    local charged = chargeable(hold, hold.asked[6])
    local row = settle_row(hold, difference(amounts, charged), labels, description)
    row.id, row.corrects = 'correction:' .. hold.id, hold.id
    return row
  end
  local function same_row(recorded, row)
    return recorded.labels == row.labels and recorded.description == row.description
      and same_amounts(recorded.amounts, row.amounts)
  end

  -- Posts a charge to its envelopes, marks what it passed and crossed, and writes its row.
  local function record(row, lines, hold)
    local numbers, crossed = '', ''
    for index = 1, #lines, 2 do
      local e, g = lines[index], lines[index + 1]
      if e then
        numbers = numbers == '' and e.n or numbers .. ',' .. e.n
        local steps = steps_of(row.amounts, g.unit)
        if steps ~= 0 then
          add_spent(e, steps)
          if steps > 0 then
            row.overrun = row.overrun or e.spent > g.cap or e.saturated
            crossed = cross_warnings(e, g, crossed)
          end
          if not touched[e] then envelope_changed(e) end
        end
      end
    end
    row.numbers, row.crossed = numbers, crossed
    add_charge(row, hold)
    return row
  end

  local function close(hold, state)
    hold.state, hold.resolved, hold.resolved_now = state, now_text, true
    id_changed(hold)
  end
  local function resolve(hold, lines, state)
    for index = 1, #lines, 2 do
      local e = lines[index]
      if e then
        free_held(e, steps_of(hold.asked[6], lines[index + 1].unit))
        if not touched[e] then envelope_changed(e) end
      end
    end
    close(hold, state)
  end
  local function expire(hold)
    local lines, row = held_lines(hold), nil
    open_labels(hold)
    if hold.charges then
      row = settle_row(hold, chargeable(hold, hold.asked[6]), hold.labels, NULL)
      row.abandoned = true
      resolve(hold, lines, 'expired_charged')
      record(row, lines, hold)
    else
      resolve(hold, lines, 'expired')
    end
    expiries[#expiries + 1] = '[' .. hold_json(hold) .. ',' .. (row and row.text or 'null') .. ']'
  end
  local function find_hold(id)
    local known = entry(id)
    if not known or not known.state then return nil end
    if known.state == 'open' and tonumber(known.expires) <= now then expire(known) end
    return open_body(known)
  end

  local function answer(...) return '[' .. concat({ ... }, ',') .. ']' end
  local function conflict(id, hold)
    local row = hold and hold.state == 'corrected' and find_charge('correction:' .. id) or nil
    row = row or find_charge(id)
    return answer('"conflict"', hold and hold_json(hold) or 'null', row and row.text or 'null')
  end
  local function charged(row, replayed)
    return '["charged",' .. row.text .. (replayed and ',true]' or ',false]')
  end
  -- A charge made just now under the operation's own id: the operation says the rest.
  local function made(row)
    return '["made",' .. row.outcome .. ']'
  end
  local function held(hold, replayed)
    return answer('"held"', hold_json(hold), replayed and 'true' or 'false')
  end

  local function deny(op, reason, body, short)
    if more_due and reason ~= 'frozen' and reason ~= 'uncovered' then return answer('"again"') end
    if not op[9] then count_denial(open_labels({ body = body, origin = NULL }).labels) end
    return answer('"denied"', '"' .. reason .. '"', '[' .. concat(short, ',') .. ']')
  end

  local OPENED, expiries_in = ' - -1 ' .. bucket_text .. ' -\n', {}
  local function expiry_in(ttl)
    if not expiries_in[ttl] then expiries_in[ttl] = int(now + ttl) end
    return expiries_in[ttl]
  end

  -- Rule 2: every line is tested before any moves.
  local function hold_all(op, body)
    local amounts, short, missing = op[6], nil, 0
    for index = LINES, #op, 2 do
      local e, g = envelopes[op[index]] or find_envelope(op[index]), grounds[op[index + 1]]
      if not e then missing = missing + 1 end
      if not fits(g, steps_of(amounts, g.unit), e) then
        short = short or {}
        short[#short + 1] = concat({ (index - LINES) / 2, e and int(e.spent) or '0', e and int(e.held) or '0' }, ',')
      end
    end
    if short then return deny(op, 'exceeds', body, short) end
    if missing > 0 and missing > max_envelopes - count then
      short = {}
      for index = LINES, #op, 2 do
        if not envelopes[op[index]] then short[#short + 1] = (index - LINES) / 2 .. ',0,0' end
      end
      return deny(op, 'too_many_envelopes', body, short)
    end
    for index = LINES, #op, 2 do
      local g = grounds[op[index + 1]]
      local e = envelopes[op[index]] or open_line(op[index], g)
      add_held(e, steps_of(amounts, g.unit))
      if not touched[e] then envelope_changed(e) end
    end
    keep_grounds(op, LINES, bucket_text)
    local expires = expiry_in(op[5])
    add_hold(op[2], 'open ' .. expires .. OPENED .. body, expires)
    return '["taken",' .. expires .. ']'
  end

  local APPLY = {}
  -- ["reserve", id, revision, refusal, ttlMs, amounts, occupied, description, tentative, ...lines],
  -- then [labels, ifAbandoned, said]: the hold's body
  function APPLY.reserve(op, body)
    local known = entry(op[2]) and find_hold(op[2])
    if known then
      local said = open_labels({ body = body, origin = NULL })
      open_labels(known)
      local same = said.said == known.said and said.labels == known.labels
        and op[8] == known.asked[8] and same_amounts(op[6], known.asked[6])
      return same and held(known, true) or conflict(op[2], known)
    end
    if entry(op[2]) and find_charge(op[2]) then return conflict(op[2], nil) end
    if op[3] ~= revision then return answer('"stale"') end
    if op[4] ~= NULL then return deny(op, op[4], body, {}) end
    if not windows_contain(op, LINES) then return answer('"outside_window"') end
    return hold_all(op, body)
  end

  local function outdated(at_revision, flat)
    if at_revision ~= NULL and at_revision ~= revision then return answer('"stale"') end
    if not windows_contain(flat, 1) then return answer('"outside_window"') end
    return nil
  end

  -- ["settle", id, ifUnresolved, revision, amounts, labels, description, lines]
  function APPLY.settle(op)
    local known = find_hold(op[2])
    if not known then return answer('"unknown_hold"') end
    if op[3] and known.state ~= 'open' and known.state ~= 'expired' then
      return answer('"resolved"', '"' .. known.state .. '"')
    end
    local amounts = actual_amounts(known, op[5])
    local was_charged = known.state == 'expired_charged' or known.state == 'corrected'
    local draft = was_charged and correction_row or settle_row
    local row = draft(known, amounts, op[6], op[7])
    if known.state == 'settled' or known.state == 'corrected' then
      local recorded = find_charge(row.id)
      if recorded and same_row(recorded, row) then return charged(recorded, true) end
      return conflict(op[2], known)
    end
    local plan_again = outdated(op[4], op[8])
    if plan_again then return plan_again end
    local lines = held_lines(known)
    if known.state == 'open' then
      resolve(known, lines, 'settled')
    else
      known.state = was_charged and 'corrected' or 'settled'
      id_changed(known)
    end
    open_lines(op[8], lines)
    if was_charged then return charged(record(row, lines, nil), false) end
    return made(record(row, lines, known))
  end

  -- A release after the hold was charged as abandoned: the truth is that nothing was spent.
  local function take_back(known)
    local row = correction_row(known, {}, open_labels(known).labels, NULL)
    if known.state == 'corrected' then
      local recorded = find_charge(row.id)
      if recorded and same_row(recorded, row) then
        return answer('"released"', recorded.text, 'true')
      end
      return conflict(known.id, known)
    end
    known.state = 'corrected'
    id_changed(known)
    return answer('"released"', record(row, held_lines(known), nil).text, 'false')
  end

  -- ["release", id]
  function APPLY.release(op)
    local known = find_hold(op[2])
    if not known then return answer('"unknown_hold"') end
    if known.state == 'open' then
      resolve(known, held_lines(known), 'released')
      return answer('"released"', 'null', 'false')
    end
    if known.state == 'released' or known.state == 'expired' then
      return answer('"released"', 'null', 'true')
    end
    if known.state == 'settled' then return conflict(op[2], known) end
    return take_back(known)
  end

  -- ["extend", id, ttlMs]
  function APPLY.extend(op)
    local known = find_hold(op[2])
    if not known then return answer('"unknown_hold"') end
    if known.state ~= 'open' then return conflict(op[2], known) end
    if now + op[3] > tonumber(known.expires) then
      known.expires = int(now + op[3])
      if known.bucket ~= bucket_text then
        keep_grounds(known.asked, LINES, known.bucket)
        known.bucket = bucket_text
      end
      id_changed(known)
    end
    return answer('"extended"', known.expires)
  end

  -- ["rename", id, newId, ttlMs]
  function APPLY.rename(op)
    local known, standing = find_hold(op[2]), find_hold(op[3])
    -- A hold that is open was not renamed: what stands then came from another one of its id.
    if standing and standing.origin == op[2] and not (known and known.state == 'open') then
      return held(standing, true)
    end
    if not known then return answer('"unknown_hold"') end
    if known.state ~= 'open' then return conflict(op[2], known) end
    if standing then return conflict(op[3], standing) end
    if find_charge(op[3]) then return conflict(op[3], nil) end
    local expires = math.max(tonumber(known.expires), now + (op[4] ~= NULL and op[4] or 0))
    keep_grounds(known.asked, LINES, known.bucket)
    close(known, 'released')
    local head = concat({ 'open', int(expires), '-', '-1', bucket_text, encode(op[2]) }, ' ')
    add_hold(op[3], head .. '\n' .. known.body, int(expires))
    return held(entry(op[3]), false)
  end

  local function late_correction(recorded, row)
    row.amounts = difference(row.amounts, recorded.amounts)
    row.id, row.corrects, row.held = 'correction:' .. recorded.id, recorded.id, recorded.held
    local corrected = find_charge(row.id)
    if corrected then
      if same_row(corrected, row) then return charged(corrected, true) end
      return answer('"conflict"', 'null', corrected.text)
    end
    -- The terms of that time are gone with the hold: what it was posted to is set right, silently.
    local numbers, lines = {}, {}
    for _, n in ipairs(recorded.numbers) do numbers[#numbers + 1] = int(n) end
    local names = find_numbers(numbers)
    for _, n in ipairs(numbers) do
      local e = names[n] and find_envelope(names[n].key) or nil
      if e then lines[#lines + 1], lines[#lines + 2] = e, { unit = names[n].unit, cap = MAX, warn = {} } end
    end
    return charged(record(row, lines, nil), false)
  end

  -- ["charge", id, revision, amounts, labels, description, late, lines]
  function APPLY.charge(op)
    local row = { id = op[2], at = now, amounts = op[4], labels = op[5], description = op[6],
      late = op[7] }
    local standing = entry(op[2])
    if standing and standing.state then return conflict(op[2], open_body(standing)) end
    local recorded = find_charge(op[2])
    if recorded then
      if same_row(recorded, row) then return charged(recorded, true) end
      if not op[7] or not recorded.abandoned then
        return answer('"conflict"', 'null', recorded.text)
      end
      return late_correction(recorded, row)
    end
    local plan_again = outdated(op[3], op[8])
    if plan_again then return plan_again end
    return made(record(row, open_lines(op[8], {}), nil))
  end

  return APPLY, expire
end
local APPLY, expire = operations_of_a_ledger()
`;

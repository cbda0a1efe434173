/** What `apply` calls: looking things up, and arithmetic on amounts that is seldom needed. */
export const SUPPORT: string = `
CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE
AS $body$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $body$;

CREATE FUNCTION open_ledger(p_name text) RETURNS int LANGUAGE plpgsql
AS $body$
DECLARE v_id int;
BEGIN
  SELECT id INTO v_id FROM ledgers WHERE name = p_name;
  IF FOUND THEN RETURN v_id; END IF;
  INSERT INTO ledgers (name, revision, policy) VALUES (p_name, 0, '') ON CONFLICT DO NOTHING;
  SELECT id INTO v_id FROM ledgers WHERE name = p_name;
  INSERT INTO tending VALUES (v_id, -9007199254740991, -9007199254740991, 0, 0) ON CONFLICT DO NOTHING;
  RETURN v_id;
END
$body$;

-- Finds the groups with these contents, and makes those that are not there where it is told to.
CREATE FUNCTION group_ids(p_ledger int, p_contents text[], p_make boolean) RETURNS bigint[] LANGUAGE plpgsql
AS $body$
DECLARE v_ids bigint[];
BEGIN
  FOR attempt IN 1..2 LOOP
    SELECT array_agg(g.id ORDER BY c.ord) INTO v_ids FROM unnest(p_contents) WITH ORDINALITY c(content, ord)
      LEFT JOIN LATERAL (SELECT f.id FROM groups f
        WHERE f.ledger = p_ledger AND f.hash = sha256(convert_to((c.content::json -> 0)::text, 'UTF8'))) g ON true;
    EXIT WHEN NOT p_make OR array_position(v_ids, NULL) IS NULL;
    INSERT INTO groups (ledger, hash, content, unit, ends_at)
      SELECT p_ledger, sha256(convert_to((c::json -> 0)::text, 'UTF8')), c, c::json ->> 2, (c::json ->> 6)::bigint
      FROM unnest(p_contents) c ORDER BY 2 ON CONFLICT DO NOTHING;
  END LOOP;
  RETURN v_ids;
END
$body$;

-- Finds terms with these contents, makes those that are not there, and notes the day of their use.
CREATE FUNCTION terms_ids(p_contents text[], p_today int) RETURNS int[] LANGUAGE plpgsql
AS $body$
DECLARE
  v_ids int[];
  v_oldest int;
BEGIN
  FOR attempt IN 1..2 LOOP
    SELECT array_agg(t.id ORDER BY c.ord), min(t.last_day) INTO v_ids, v_oldest
      FROM unnest(p_contents) WITH ORDINALITY c(content, ord)
      LEFT JOIN LATERAL (SELECT f.id, f.last_day FROM terms f
        WHERE f.hash = sha256(convert_to(c.content, 'UTF8'))) t ON true;
    EXIT WHEN array_position(v_ids, NULL) IS NULL;
    INSERT INTO terms (hash, content, limit_name, unit, cap, soft, warn_steps, warn_fractions, last_day)
      SELECT sha256(convert_to(c, 'UTF8')), c, c::json -> 0, c::json ->> 1, (c::json ->> 2)::bigint,
        (c::json ->> 3)::boolean,
        ARRAY(SELECT (w ->> 1)::bigint FROM json_array_elements(c::json -> 5) WITH ORDINALITY x(w, ord)
          ORDER BY ord),
        ARRAY(SELECT ' ' || (w ->> 0) || ' ' FROM json_array_elements(c::json -> 5)
          WITH ORDINALITY x(w, ord) ORDER BY ord),
        p_today
      FROM unnest(p_contents) c ORDER BY 1 ON CONFLICT DO NOTHING;
  END LOOP;
  IF v_oldest < p_today THEN
    PERFORM 1 FROM terms WHERE id = ANY (v_ids) ORDER BY id FOR UPDATE;
    UPDATE terms SET last_day = p_today WHERE id = ANY (v_ids) AND last_day < p_today;
  END IF;
  RETURN v_ids;
END
$body$;

-- Where each of some numbers stands in a list; null where it does not.
CREATE FUNCTION positions(p_wanted bigint[], p_list bigint[]) RETURNS int[] LANGUAGE plpgsql IMMUTABLE
SET enable_hashjoin = on SET plan_cache_mode = force_generic_plan
AS $body$
BEGIN
  RETURN (SELECT array_agg(l.ord ORDER BY w.ord) FROM unnest(p_wanted) WITH ORDINALITY w(id, ord)
    LEFT JOIN unnest(p_list) WITH ORDINALITY l(id, ord) ON l.id = w.id);
END
$body$;

-- How many envelopes may still be opened. Ids are never used twice, so the sequence tells how many
-- there are at most; only where that may be too many are they counted.
CREATE FUNCTION envelope_room(p_ledger int, p_most bigint) RETURNS bigint LANGUAGE plpgsql
AS $body$
DECLARE
  v_counted bigint;
  v_counted_at bigint;
  v_last bigint;
BEGIN
  SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO v_last FROM envelope_ids;
  SELECT counted, counted_at INTO v_counted, v_counted_at FROM tending WHERE ledger = p_ledger;
  IF v_counted + v_last - v_counted_at + 8192 > p_most THEN
    SELECT count(*) INTO v_counted FROM groups g JOIN envelopes e ON e.group_id = g.id
      WHERE g.ledger = p_ledger;
    UPDATE tending SET counted = v_counted, counted_at = v_last
      WHERE ledger = p_ledger AND p_most - v_counted > 16384;
    RETURN p_most - v_counted;
  END IF;
  RETURN p_most - v_counted - v_last + v_counted_at;
END
$body$;

-- The part of amounts that is charged: occupied units come back instead.
CREATE FUNCTION chargeable(p_units text, p_steps bigint[], p_occupied text, OUT units text, OUT steps bigint[])
LANGUAGE sql IMMUTABLE
AS $body$
  SELECT coalesce(string_agg(a.unit, ',' ORDER BY a.ord), ''), coalesce(array_agg(a.steps ORDER BY a.ord), '{}')
  FROM unnest(string_to_array(p_units, ','), p_steps) WITH ORDINALITY a(unit, steps, ord)
  WHERE a.unit <> ALL (string_to_array(p_occupied, ','))
$body$;

-- What was said, and for the units left out what was held.
CREATE FUNCTION merged(
  p_units text, p_steps bigint[], p_held_units text, p_held_steps bigint[], OUT units text, OUT steps bigint[]
) LANGUAGE sql IMMUTABLE
AS $body$
  SELECT coalesce(string_agg(a.unit, ',' ORDER BY a.unit COLLATE "C"), ''),
    coalesce(array_agg(a.steps ORDER BY a.unit COLLATE "C"), '{}')
  FROM (
    SELECT * FROM unnest(string_to_array(p_units, ','), p_steps)
    UNION ALL
    SELECT * FROM unnest(string_to_array(p_held_units, ','), p_held_steps) h(unit, steps)
    WHERE h.unit <> ALL (string_to_array(p_units, ','))
  ) a(unit, steps)
$body$;

-- What was spent less what was charged, for every unit of either.
CREATE FUNCTION difference(
  p_units text, p_steps bigint[], p_less_units text, p_less_steps bigint[], OUT units text, OUT steps bigint[]
) LANGUAGE sql IMMUTABLE
AS $body$
  SELECT coalesce(string_agg(a.unit, ',' ORDER BY a.unit COLLATE "C"), ''),
    coalesce(array_agg(a.steps ORDER BY a.unit COLLATE "C"), '{}')
  FROM (
    SELECT b.unit, sum(b.steps)::bigint AS steps FROM (
      SELECT * FROM unnest(string_to_array(p_units, ','), p_steps)
      UNION ALL
      SELECT l.unit, -l.steps FROM unnest(string_to_array(p_less_units, ','), p_less_steps) l(unit, steps)
    ) b(unit, steps) GROUP BY b.unit
  ) a
$body$;

-- A journal row that is about to be written, as the journal will have it.
CREATE FUNCTION written_charge(
  p_id text, p_at bigint, p_flags int, p_units text, p_steps text, p_held_units text, p_held_steps text,
  p_labels text, p_description text, p_corrects text, p_crossed text
) RETURNS text LANGUAGE sql IMMUTABLE
AS $body$
  SELECT json_build_object('id', p_id, 'at', p_at, 'flags', p_flags, 'units', p_units,
    'steps', p_steps::bigint[], 'held_units', p_held_units, 'held_steps', p_held_steps::bigint[],
    'labels', p_labels, 'description', p_description, 'corrects', p_corrects, 'crossed', p_crossed)::text
$body$;
`;

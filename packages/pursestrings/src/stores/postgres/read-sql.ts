/** How many journal rows one page looks through at most, so that a rare label stops nobody. */
const MAX_SCANNED_PER_PAGE = 20_000;

const DEFINER = 'SECURITY DEFINER SET search_path = pg_catalog, :schema, pg_temp SET jit = off';

/** What is read of a ledger. Each function answers with one JSON text. */
export const READ: string = `
CREATE FUNCTION ledger_id(p_name text) RETURNS int LANGUAGE sql STABLE
AS $body$ SELECT id FROM ledgers WHERE name = p_name $body$;

CREATE FUNCTION envelope_json(e envelopes, g groups) RETURNS json LANGUAGE sql STABLE
AS $body$ SELECT json_build_array(e.id, g.content::json, coalesce(e.long_member, e.member), e.spent, e.held,
  e.pruned, e.crossed, e.saturated, e.member, e.group_id) $body$;

CREATE FUNCTION read_balances(
  p_ledger text, p_clock bigint, p_group text, p_after_group bigint, p_after text, p_size int
) RETURNS text LANGUAGE plpgsql STABLE ${DEFINER}
AS $body$
DECLARE
  v_ledger int := ledger_id(p_ledger);
  v_group bigint;
  v_items json;
BEGIN
  IF p_group IS NULL THEN
    SELECT json_agg(envelope_json(x.e, x.g)) INTO v_items FROM (
      SELECT e, g FROM groups g JOIN envelopes e ON e.group_id = g.id
      WHERE g.ledger = v_ledger AND g.id >= p_after_group
        AND (e.group_id, e.member) > (p_after_group, p_after)
      ORDER BY e.group_id, e.member LIMIT p_size) x;
  ELSE
    SELECT g.id INTO v_group FROM groups g
      WHERE g.ledger = v_ledger AND g.hash = sha256(convert_to(p_group, 'UTF8'));
    SELECT json_agg(envelope_json(x.e, x.g)) INTO v_items FROM (
      SELECT e, g FROM envelopes e JOIN groups g ON g.id = e.group_id
      WHERE e.group_id = v_group AND (v_group > p_after_group OR e.member > p_after)
      ORDER BY e.member LIMIT p_size) x;
  END IF;
  RETURN json_build_object('items', v_items, 'now', coalesce(p_clock, now_ms()),
    'revision', (SELECT revision FROM ledgers WHERE id = v_ledger));
END
$body$;

CREATE FUNCTION read_envelopes(p_ledger text, p_clock bigint, p_groups text[], p_members text[])
RETURNS text LANGUAGE plpgsql STABLE ${DEFINER}
AS $body$
DECLARE
  v_ledger int := ledger_id(p_ledger);
BEGIN
  RETURN json_build_object('items', (
      SELECT json_agg(envelope_json(x.e, x.g) ORDER BY x.ord) FROM (
        SELECT e, g, k.ord FROM unnest(p_groups, p_members) WITH ORDINALITY k(name, member, ord)
        JOIN groups g ON g.ledger = v_ledger AND g.hash = sha256(convert_to(k.name, 'UTF8'))
        JOIN envelopes e ON e.group_id = g.id AND e.member = k.member) x),
    'now', coalesce(p_clock, now_ms()),
    'revision', (SELECT revision FROM ledgers WHERE id = v_ledger));
END
$body$;

-- Holds with the terms and envelopes of their lines: one by its id, open ones, or resolved ones.
CREATE FUNCTION read_holds(p_ledger text, p_id text, p_open boolean, p_after text, p_size int)
RETURNS text LANGUAGE plpgsql STABLE ${DEFINER}
AS $body$
DECLARE
  v_ledger int := ledger_id(p_ledger);
  v_holds holds[];
BEGIN
  IF p_id IS NOT NULL THEN
    SELECT array_agg(h) INTO v_holds FROM holds h WHERE h.ledger + 0 = v_ledger AND h.id = p_id;
  ELSE
    SELECT array_agg(x.h ORDER BY (x.h).id) INTO v_holds FROM (SELECT h FROM holds h
      WHERE h.ledger + 0 = v_ledger AND (h.state = 0) = p_open AND h.id > p_after
      ORDER BY h.id LIMIT p_size) x;
  END IF;
  RETURN json_build_object('items', to_json(v_holds),
    'envelopes', (SELECT json_agg(envelope_json(e, g)) FROM envelopes e JOIN groups g ON g.id = e.group_id
      WHERE e.id IN (SELECT unnest(h.envelopes) FROM unnest(v_holds) h)),
    'terms', (SELECT json_agg(json_build_array(t.id, t.content::json)) FROM terms t
      WHERE t.id IN (SELECT unnest(h.terms) FROM unnest(v_holds) h)));
END
$body$;

-- A page of the journal. p_needles: what the labels must contain as written; p_empty: names whose
-- value must be empty or absent.
CREATE FUNCTION read_journal(
  p_ledger text, p_since bigint, p_until bigint, p_newest boolean, p_after_at bigint, p_after_seq bigint,
  p_needles text[], p_empty text[], p_size int, p_scan int DEFAULT ${MAX_SCANNED_PER_PAGE}
) RETURNS text LANGUAGE plpgsql STABLE ${DEFINER}
AS $body$
DECLARE
  v_ledger int := ledger_id(p_ledger);
  v_scan refcursor;
  r journal;
  v_scanned int := 0;
  v_fits boolean;
  v_found journal[] := '{}';
  v_next text;
BEGIN
  IF p_newest THEN
    OPEN v_scan FOR SELECT * FROM journal j WHERE j.ledger = v_ledger AND j.at >= p_since
      AND j.at < p_until AND (j.at, j.seq) < (p_after_at, p_after_seq)
      ORDER BY j.at DESC, j.seq DESC LIMIT p_scan;
  ELSE
    OPEN v_scan FOR SELECT * FROM journal j WHERE j.ledger = v_ledger AND j.at >= p_since
      AND j.at < p_until AND (j.at, j.seq) > (p_after_at, p_after_seq)
      ORDER BY j.at, j.seq LIMIT p_scan;
  END IF;
  LOOP
    FETCH v_scan INTO r;
    EXIT WHEN NOT FOUND;
    v_scanned := v_scanned + 1;
    v_fits := true;
    FOR k IN 1..cardinality(p_needles) LOOP
      v_fits := v_fits AND strpos(r.labels, p_needles[k]) > 0;
    END LOOP;
    FOR k IN 1..cardinality(p_empty) LOOP
      v_fits := v_fits AND (strpos(r.labels, p_empty[k] || ':') = 0
        OR strpos(r.labels, p_empty[k] || ':""') > 0);
    END LOOP;
    IF v_fits THEN v_found := v_found || r; END IF;
    IF cardinality(v_found) = p_size OR v_scanned = p_scan THEN
      v_next := r.at || ' ' || r.seq;
      EXIT;
    END IF;
  END LOOP;
  CLOSE v_scan;
  RETURN json_build_object('items', to_json(v_found), 'next', v_next);
END
$body$;

CREATE FUNCTION read_totals(p_ledger text, p_grains int[], p_since bigint[], p_until bigint[])
RETURNS text LANGUAGE sql STABLE ${DEFINER}
AS $body$
  SELECT json_agg(json_build_array(x.labels, x.unit, least(x.steps, 9007199254740991), x.charges, x.denials))::text
  FROM (
    SELECT t.labels, t.unit, sum(t.steps) AS steps, sum(t.charges) AS charges, sum(t.denials) AS denials
    FROM unnest(p_grains, p_since, p_until) s(grain, since, until)
    JOIN totals t ON t.ledger = ledger_id(p_ledger) AND t.grain = s.grain AND t.slot >= s.since
      AND t.slot < s.until
    GROUP BY t.labels, t.unit) x
$body$;

-- The totals as they stand, in the order of their keys.
CREATE FUNCTION read_total_rows(
  p_ledger text, p_grain int, p_slot bigint, p_hash text, p_unit text, p_size int
) RETURNS text LANGUAGE sql STABLE ${DEFINER}
AS $body$
  SELECT json_agg(json_build_array(x.grain, x.slot, encode(x.hash, 'hex'), x.unit, x.labels, x.steps,
    x.charges, x.denials))::text
  FROM (SELECT * FROM totals t WHERE t.ledger = ledger_id(p_ledger)
    AND (t.grain, t.slot, t.hash, t.unit) > (p_grain, p_slot, decode(p_hash, 'hex'), p_unit)
    ORDER BY t.grain, t.slot, t.hash, t.unit LIMIT p_size) x
$body$;

CREATE FUNCTION read_policy(p_ledger text) RETURNS text LANGUAGE sql STABLE ${DEFINER}
AS $body$
  SELECT json_build_object('revision', l.revision, 'policy', l.policy)::text
  FROM ledgers l WHERE l.name = p_ledger
$body$;
`;

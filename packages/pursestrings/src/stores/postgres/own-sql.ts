const DEFINER = 'SECURITY DEFINER SET search_path = pg_catalog, :schema, pg_temp SET jit = off';

/** What only the owner of a ledger does: changing its policy, and writing records as they are. */
export const OWN: string = `
CREATE FUNCTION write_policy(p_ledger text, p_policy text, p_revision bigint)
RETURNS text LANGUAGE plpgsql ${DEFINER}
AS $body$
DECLARE
  v_ledger int := open_ledger(p_ledger);
BEGIN
  UPDATE ledgers SET revision = revision + 1, policy = p_policy WHERE id = v_ledger AND revision = p_revision;
  RETURN read_policy(p_ledger);
END
$body$;

CREATE FUNCTION write_ledger(p_ledger text, p_revision bigint, p_records json)
RETURNS text LANGUAGE plpgsql ${DEFINER}
AS $body$
DECLARE
  v_ledger int := open_ledger(p_ledger);
  v_groups bigint[];
  v_contents text[];
BEGIN
  PERFORM pg_advisory_xact_lock(('ledgers'::regclass::oid::bigint & 2147483647)::int, v_ledger);
  PERFORM 1 FROM ledgers WHERE id = v_ledger AND revision = p_revision FOR SHARE;
  IF NOT FOUND THEN RETURN 'false'; END IF;
  SELECT array_agg(DISTINCT e ->> 'group') INTO v_contents FROM json_array_elements(p_records -> 'envelopes') e;
  v_groups := group_ids(v_ledger, v_contents, true);
  INSERT INTO envelopes (id, group_id, spent, held, pruned, saturated, crossed, member, long_member)
    SELECT nextval('envelope_ids'), v_groups[array_position(v_contents, e ->> 'group')],
      (e ->> 'spent')::bigint, (e ->> 'held')::bigint, (e ->> 'pruned')::bigint,
      (e ->> 'saturated')::boolean, e ->> 'crossed', e ->> 'member', e ->> 'long'
    FROM json_array_elements(p_records -> 'envelopes') e
    ON CONFLICT (group_id, member) DO UPDATE SET spent = excluded.spent, held = excluded.held,
      pruned = excluded.pruned, saturated = excluded.saturated, crossed = excluded.crossed;
  PERFORM terms_ids((SELECT array_agg(DISTINCT t) FROM json_array_elements(p_records -> 'holds') h,
    json_array_elements_text(h -> 'terms') t), (now_ms() / 86400000)::int);
  INSERT INTO holds (ledger, state, abandon, expires_at, resolved_at, id, units, steps, labels, description,
      occupied, said, envelopes, terms, unit_at)
    SELECT v_ledger, (h ->> 'state')::int, (h ->> 'abandon')::int, (h ->> 'expiresAt')::bigint,
      (h ->> 'resolvedAt')::bigint, h ->> 'id', h ->> 'units', (h ->> 'steps')::bigint[], h ->> 'labels',
      h ->> 'description', h ->> 'occupied', h ->> 'said', coalesce(l.envelopes, '{}'),
      coalesce(l.terms, '{}'), coalesce(l.unit_at, '{}')
    FROM json_array_elements(p_records -> 'holds') h LEFT JOIN LATERAL (
      SELECT array_agg(e.id ORDER BY x.ord) AS envelopes, array_agg(t.id ORDER BY x.ord) AS terms,
        array_agg(x.unit_at::smallint ORDER BY x.ord) AS unit_at
      FROM ROWS FROM (json_array_elements_text(h -> 'groups'), json_array_elements_text(h -> 'members'),
        json_array_elements_text(h -> 'terms'), json_array_elements_text(h -> 'unitAt'))
        WITH ORDINALITY x(name, member, content, unit_at, ord)
      JOIN groups g ON g.ledger = v_ledger AND g.hash = sha256(convert_to(x.name, 'UTF8'))
      JOIN envelopes e ON e.group_id = g.id AND e.member = x.member
      JOIN terms t ON t.hash = sha256(convert_to(x.content, 'UTF8'))) l ON true
    ON CONFLICT (id, ledger) DO UPDATE SET state = excluded.state, abandon = excluded.abandon,
      expires_at = excluded.expires_at, resolved_at = excluded.resolved_at, units = excluded.units,
      steps = excluded.steps, labels = excluded.labels, description = excluded.description,
      occupied = excluded.occupied, said = excluded.said, envelopes = excluded.envelopes,
      terms = excluded.terms, unit_at = excluded.unit_at;
  INSERT INTO journal (ledger, at, flags, id, units, steps, held_units, held_steps, labels, description,
      corrects, crossed, envelopes, posted)
    SELECT v_ledger, (j ->> 'at')::bigint, (j ->> 'flags')::int, j ->> 'id', j ->> 'units',
      (j ->> 'steps')::bigint[], j ->> 'heldUnits', (j ->> 'heldSteps')::bigint[], j ->> 'labels',
      j ->> 'description', j ->> 'corrects', j ->> 'crossed', coalesce(l.envelopes, '{}'),
      coalesce(l.posted, '{}')
    FROM json_array_elements(p_records -> 'charges') WITH ORDINALITY c(j, ord) LEFT JOIN LATERAL (
      SELECT array_agg(e.id ORDER BY x.ord) AS envelopes, array_agg(x.posted::bigint ORDER BY x.ord) AS posted
      FROM ROWS FROM (json_array_elements_text(j -> 'groups'), json_array_elements_text(j -> 'members'),
        json_array_elements_text(j -> 'posted')) WITH ORDINALITY x(name, member, posted, ord)
      JOIN groups g ON g.ledger = v_ledger AND g.hash = sha256(convert_to(x.name, 'UTF8'))
      JOIN envelopes e ON e.group_id = g.id AND e.member = x.member) l ON true
    ORDER BY c.ord ON CONFLICT DO NOTHING;
  DELETE FROM totals o USING json_array_elements(p_records -> 'totals') t
    WHERE o.ledger = v_ledger AND o.grain = (t ->> 'grain')::int AND o.slot = (t ->> 'slot')::bigint
      AND o.hash = substr(sha256(convert_to(t ->> 'labels', 'UTF8')), 1, 16);
  INSERT INTO totals (ledger, grain, slot, hash, unit, steps, charges, denials, labels)
    SELECT v_ledger, (t ->> 'grain')::int, (t ->> 'slot')::bigint,
      substr(sha256(convert_to(t ->> 'labels', 'UTF8')), 1, 16), coalesce(u.unit, ''), coalesce(u.steps, 0),
      CASE WHEN coalesce(u.ord, 1) = 1 THEN (t ->> 'charges')::bigint ELSE 0 END,
      CASE WHEN coalesce(u.ord, 1) = 1 THEN (t ->> 'denials')::bigint ELSE 0 END, t ->> 'labels'
    FROM json_array_elements(p_records -> 'totals') t
    LEFT JOIN LATERAL unnest(string_to_array(t ->> 'units', ','), (t ->> 'steps')::bigint[])
      WITH ORDINALITY u(unit, steps, ord) ON true;
  INSERT INTO slots SELECT v_ledger, x.slot, (SELECT count(DISTINCT t.hash) FROM totals t
      WHERE t.ledger = v_ledger AND t.grain = 0 AND t.slot = x.slot)
    FROM (SELECT DISTINCT (t ->> 'slot')::bigint AS slot FROM json_array_elements(p_records -> 'totals') t
      WHERE t ->> 'grain' = '0') x
    ON CONFLICT (ledger, slot) DO UPDATE SET size = excluded.size;
  RETURN 'true';
END
$body$;
`;

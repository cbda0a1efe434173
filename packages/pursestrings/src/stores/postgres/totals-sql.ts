import { DAY_SLOT_MS, MAX_LABEL_SETS_PER_SLOT, SLOT_MS } from '../../ledger/report.ts';
import { OTHER_SET } from '../running-total.ts';

/**
 * Adds the charges and denials of a batch to the running totals. A label set that its quarter-hour
 * does not know yet gets a place of its own while there is room; who looks for room holds the row
 * of the quarter-hour in `slots`.
 */
export const ADD_TOTALS: string = `
CREATE FUNCTION add_totals(
  p_ledger int, p_now bigint, p_labels text[], p_units text[], p_steps text[],
  p_denied_labels text[], p_denied_at bigint[], p_denied bigint[]
) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = on
SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
  v_slot bigint := p_now - mod(p_now, ${SLOT_MS});
  v_slots bigint[];
  v_labels text[];
  v_hashes bytea[];
  v_known boolean[];
  v_sets text[];
  v_locked bigint;
  v_size int;
  v_full boolean;
  v_other CONSTANT bytea := substr(sha256(convert_to('${OTHER_SET.key}', 'UTF8')), 1, 16);
BEGIN
  SELECT array_agg(s.slot), array_agg(s.labels), array_agg(s.hash), array_agg(k.known IS NOT NULL)
    INTO v_slots, v_labels, v_hashes, v_known
    FROM (
      SELECT r.slot, r.labels, substr(sha256(convert_to(r.labels, 'UTF8')), 1, 16) AS hash
      FROM (
        SELECT v_slot AS slot, c.labels, c.ord FROM unnest(p_labels) WITH ORDINALITY c(labels, ord)
        UNION ALL
        SELECT d.at - mod(d.at, ${SLOT_MS}), d.labels, 1000000 + d.ord
        FROM unnest(p_denied_labels, p_denied_at) WITH ORDINALITY d(labels, at, ord)
      ) r
      GROUP BY r.slot, r.labels ORDER BY r.slot, min(r.ord)
    ) s
    LEFT JOIN LATERAL (
      SELECT true AS known FROM totals t
      WHERE t.ledger = p_ledger AND t.grain = 0 AND t.slot = s.slot AND t.hash = s.hash LIMIT 1
    ) k ON true;
  IF v_labels IS NULL THEN RETURN; END IF;
  v_sets := v_labels;
  IF false = ANY (v_known) THEN
    -- A quarter-hour that is full stays full: then nobody needs to wait for its row.
    v_full := NOT EXISTS (SELECT 1 FROM unnest(v_slots) x WHERE coalesce(
      (SELECT f.size FROM slots f WHERE f.ledger = p_ledger AND f.slot = x), 0) < ${MAX_LABEL_SETS_PER_SLOT});
    IF NOT v_full THEN
      INSERT INTO slots SELECT DISTINCT p_ledger, x, 0 FROM unnest(v_slots) x ORDER BY x ON CONFLICT DO NOTHING;
      PERFORM 1 FROM slots f WHERE f.ledger = p_ledger AND f.slot = ANY (v_slots) ORDER BY f.slot FOR UPDATE;
      SELECT array_agg(k.known IS NOT NULL ORDER BY s.ord) INTO v_known
        FROM unnest(v_slots, v_hashes) WITH ORDINALITY s(slot, hash, ord)
        LEFT JOIN LATERAL (
          SELECT true AS known FROM totals t
          WHERE t.ledger = p_ledger AND t.grain = 0 AND t.slot = s.slot AND t.hash = s.hash LIMIT 1
        ) k ON true;
    END IF;
    FOR i IN 1..cardinality(v_labels) LOOP
      CONTINUE WHEN v_known[i];
      IF NOT v_full AND v_locked IS DISTINCT FROM v_slots[i] THEN
        UPDATE slots SET size = v_size WHERE ledger = p_ledger AND slot = v_locked;
        v_locked := v_slots[i];
        SELECT size INTO v_size FROM slots WHERE ledger = p_ledger AND slot = v_locked;
      END IF;
      IF NOT v_full AND v_size < ${MAX_LABEL_SETS_PER_SLOT} THEN
        v_size := v_size + 1;
      ELSE
        v_sets[i] := '${OTHER_SET.key}';
        v_hashes[i] := v_other;
      END IF;
    END LOOP;
    UPDATE slots SET size = v_size WHERE ledger = p_ledger AND slot = v_locked;
  END IF;
  INSERT INTO totals (ledger, grain, slot, hash, unit, steps, charges, denials, labels)
    SELECT p_ledger, g.grain, r.slot - mod(r.slot, g.size), r.hash, r.unit, sum(r.steps), sum(r.charges),
      sum(r.denials), min(r.labels)
    FROM (
      SELECT s.slot, s.hash, min(s.labels) AS labels, c.unit, sum(c.steps) AS steps,
        sum(c.charges) AS charges, sum(c.denials) AS denials
      FROM (
        SELECT v_slot AS slot, c.labels, c.units AS unit, btrim(c.steps, '{}')::bigint AS steps,
          1 AS charges, 0::bigint AS denials
        FROM unnest(p_labels, p_units, p_steps) c(labels, units, steps)
        WHERE c.units <> '' AND strpos(c.units, ',') = 0
        UNION ALL
        SELECT v_slot, c.labels, coalesce(u.unit, ''), coalesce(u.steps, 0),
          CASE WHEN coalesce(u.ord, 1) = 1 THEN 1 ELSE 0 END, 0
        FROM unnest(p_labels, p_units, p_steps) c(labels, units, steps)
        LEFT JOIN LATERAL unnest(string_to_array(c.units, ','), c.steps::bigint[])
          WITH ORDINALITY u(unit, steps, ord) ON true
        WHERE c.units = '' OR strpos(c.units, ',') > 0
        UNION ALL
        SELECT d.at - mod(d.at, ${SLOT_MS}), d.labels, '', 0, 0, d.denied
        FROM unnest(p_denied_labels, p_denied_at, p_denied) d(labels, at, denied)
      ) c
      JOIN unnest(v_slots, v_labels, v_hashes, v_sets) s(slot, said, hash, labels)
        ON s.slot = c.slot AND s.said = c.labels
      GROUP BY s.slot, s.hash, c.unit
    ) r
    CROSS JOIN (VALUES (0, 1::bigint), (1, ${DAY_SLOT_MS}::bigint)) g(grain, size)
    GROUP BY 2, 3, 4, 5 ORDER BY 2, 3, 4, 5
  ON CONFLICT (ledger, grain, slot, hash, unit) DO UPDATE SET
    steps = least(totals.steps + excluded.steps, 9007199254740991),
    charges = totals.charges + excluded.charges,
    denials = totals.denials + excluded.denials;
END
$body$;
`;

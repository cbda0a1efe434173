import { DECIDE } from './decide-sql.ts';
import { WRITE } from './write-sql.ts';

/** Past so many ids that callers made, a batch holds its ledger alone instead of locking each. */
const MAX_LOCKED_IDS = 32;

/** So many operations are worth a ledger of their own: then no row needs to be locked. */
const LARGE_BATCH = 128;

/** How often, in milliseconds, the place is moved on from which holds are looked through. */
const DUE_STEP_MS = 1000;

/** The longest rest between two looks for old records. */
const TEND_EVERY_MS = 60_000;

/**
 * One batch: finds and locks what its operations touch, decides them one by one, writes what came
 * of them with one statement a kind, and answers in JSON.
 *
 * Locks are taken in one order by all: the ledger, ids, holds, envelopes, then rows of totals; each
 * kind in the order of its keys. Small batches share the ledger. One holds it alone where it is large,
 * looks for old records, brings many ids that callers made, or was told to be careful after two
 * batches collided on a key that both were to write first (SQLSTATE 23505); it locks no row besides.
 *
 * Numbers: kinds 0 reserve, 1 settle, 2 release, 3 extend, 4 rename, 5 charge. Flags 1 fresh,
 * 2 only if unresolved, 4 late, 8 refused by the policy, 16 charged if abandoned. States 0 open,
 * 1 settled, 2 released, 3 expired, 4 expired and charged, 5 corrected. Flags of a journal row: 1
 * overrun, 2 late, 4 abandoned.
 */
export const APPLY: string = `
CREATE FUNCTION apply(
  p_ledger text, p_clock bigint, p_careful boolean, p_flush boolean, p_async boolean,
  p_journal_ms bigint, p_max_envelopes bigint,
  p_kind int[], p_flags int[], p_id text[], p_new_id text[], p_ms bigint[], p_revision bigint[],
  p_from bigint[], p_until bigint[], p_units text[], p_steps text[], p_labels text[],
  p_description text[], p_said text[], p_occupied text[],
  p_line int[], l_envelope int[], l_terms int[], l_unit int[],
  m_group int[], m_member text[], m_long text[], g_content text[], t_content text[],
  p_claims text[], p_lookups text[],
  p_denied_labels text[], p_denied_at bigint[], p_denied bigint[]
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, :schema, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan SET lock_timeout = '4s'
AS $body$
DECLARE
  c_max CONSTANT bigint := 9007199254740991;
  c_class CONSTANT int := ('ledgers'::regclass::oid::bigint & 2147483647)::int;
  n CONSTANT int := cardinality(p_kind);
  v_ledger int; v_revision bigint; v_now bigint; v_due_from bigint; v_tend_at bigint;
  v_alone boolean; v_more boolean := false; v_wrote boolean := false; v_room bigint;
  v_groups bigint[]; v_terms int[]; v_known text[]; v_locked text[];
  v_due text[]; v_x holds[]; v_h holds[]; v_schedule int[]; v_x_at int[]; v_start_x int := 0;
  v_hold_envelopes bigint[]; v_x_envelopes bigint[]; v_late_envelopes bigint[];
  v_others bigint[]; v_hold_slots int[]; v_x_slots int[];
  e_id bigint[]; e_spent bigint[]; e_held bigint[]; e_saturated boolean[]; e_crossed text[];
  e_dirty boolean[]; e_new int[] := '{}'; v_first_new bigint;
  t_id int[]; t_cap bigint[]; t_soft boolean[]; t_limit text[]; t_unit text[];
  t_first int[]; t_last int[]; w_steps bigint[]; w_fraction text[]; v_extra int[];
  h holds; h2 holds; h_at int := 0; hs_at int; hs int[];
  i int; k int; q int; s int; t int; v_amount bigint; v_text text; v_short text; v_missing int;
  v_state int; v_free boolean; v_post boolean; v_same boolean; v_full boolean; v_recorded boolean;
  v_take boolean; v_conflict text; v_charge text; v_answer text; v_answers text[] := '{}';
  v_expiries text[] := '{}'; v_names text[]; v_held_names text[];
  r_id text; r_units text; r_steps bigint[]; r_labels text; r_description text; r_flags int;
  r_corrects text; r_held_units text; r_held_steps bigint[]; r_crossed text; r_envelopes text;
  r_posted text; jr journal; jc journal;
  n_op int[] := '{}'; n_expires bigint[] := '{}'; n_envelopes text[] := '{}'; n_terms text[] := '{}';
  n_units text[] := '{}';
  u_id text[] := '{}'; u_state int[] := '{}'; u_again boolean[] := '{}';
  j_id text[] := '{}'; j_flags int[] := '{}'; j_units text[] := '{}'; j_steps text[] := '{}';
  j_held_units text[] := '{}'; j_held_steps text[] := '{}'; j_labels text[] := '{}';
  j_description text[] := '{}'; j_corrects text[] := '{}'; j_crossed text[] := '{}';
  j_envelopes text[] := '{}'; j_posted text[] := '{}';
BEGIN
  LOOP
    SELECT l.id, d.due_from, d.tend_at INTO v_ledger, v_due_from, v_tend_at
      FROM ledgers l JOIN tending d ON d.ledger = l.id WHERE l.name = p_ledger;
    EXIT WHEN FOUND;
    PERFORM open_ledger(p_ledger);
  END LOOP;
  v_now := coalesce(p_clock, now_ms());
  v_alone := p_careful OR n >= ${LARGE_BATCH} OR cardinality(p_claims) > ${MAX_LOCKED_IDS}
    OR v_now - v_due_from >= ${DUE_STEP_MS} OR v_now < v_due_from
    OR v_now >= v_tend_at OR v_tend_at > v_now + ${TEND_EVERY_MS};
  IF v_alone THEN
    PERFORM pg_advisory_xact_lock(c_class, v_ledger);
  ELSE
    PERFORM pg_advisory_xact_lock_shared(c_class, v_ledger);
    IF cardinality(p_claims) > 0 THEN
      PERFORM pg_advisory_xact_lock(c.key) FROM (
        SELECT DISTINCT hashtextextended(claim, c_class::bigint << 32 | v_ledger) AS key
        FROM unnest(p_claims) claim ORDER BY 1) c;
    END IF;
  END IF;
  v_now := coalesce(p_clock, now_ms());
  SELECT d.due_from, d.tend_at, l.revision INTO v_due_from, v_tend_at, v_revision
    FROM tending d JOIN ledgers l ON l.id = d.ledger WHERE d.ledger = v_ledger;
  IF v_alone THEN
    IF v_now < v_due_from THEN v_due_from := v_now; END IF;
    IF v_now >= v_tend_at OR v_tend_at > v_now + ${TEND_EVERY_MS} THEN
      v_tend_at := CASE WHEN tend(v_ledger, v_now, p_journal_ms, greatest(256, 2 * n))
        THEN v_now ELSE v_now + ${TEND_EVERY_MS} END;
    END IF;
  ELSIF v_now < v_due_from THEN
    RAISE EXCEPTION 'the clock was set back' USING ERRCODE = '40001';
  END IF;

  IF cardinality(g_content) > 0 THEN
    v_groups := group_ids(v_ledger, g_content, false);
    v_terms := terms_ids(t_content, (v_now / 86400000)::int);
  END IF;

  SELECT array_agg(d.id), count(*) > 128 INTO v_due, v_more FROM (
    SELECT o.id FROM holds o WHERE o.ledger = v_ledger AND o.expires_at > v_due_from
      AND o.expires_at <= v_now AND o.state = 0 ORDER BY o.expires_at LIMIT 129) d;
  IF v_more THEN v_due := v_due[1:128]; END IF;
  IF v_due IS NOT NULL OR cardinality(p_lookups) > 0 THEN
    IF NOT v_alone THEN
      SELECT array_agg(l.id) INTO v_locked FROM (
        SELECT o.id FROM holds o WHERE o.ledger + 0 = v_ledger AND o.id = ANY (p_lookups || v_due)
        ORDER BY o.id FOR UPDATE) l;
    END IF;
    -- A hold that was taken since the locks were is none of this batch's: it is not locked.
    SELECT array_agg(o ORDER BY p.ord) INTO v_h FROM unnest(p_id) WITH ORDINALITY p(id, ord)
      LEFT JOIN LATERAL (SELECT f FROM holds f WHERE f.ledger + 0 = v_ledger AND f.id = p.id
        AND (p_flags[p.ord] & 1) = 0 AND (v_alone OR p.id = ANY (v_locked))) f(o) ON true;
    IF v_due IS NOT NULL THEN
      SELECT array_agg(o ORDER BY o.expires_at, o.id) INTO v_x FROM holds o
        WHERE o.ledger + 0 = v_ledger AND o.id = ANY (v_due) AND o.state = 0 AND o.expires_at <= v_now
          AND (v_alone OR o.id = ANY (v_locked));
      v_start_x := coalesce(cardinality(v_x), 0);
    END IF;
    FOR c IN 1..n LOOP
      h := v_h[c];
      CONTINUE WHEN p_kind[c] = 5 OR h.id IS NULL OR h.state <> 0 OR h.expires_at > v_now
        OR (v_due IS NOT NULL AND h.id = ANY (v_due));
      v_x := v_x || h;
      v_schedule := v_schedule || c;
    END LOOP;
    IF 4 = ANY (p_kind) THEN
      FOR c IN 1..n LOOP
        CONTINUE WHEN p_kind[c] <> 4;
        SELECT * INTO h FROM holds o WHERE o.ledger + 0 = v_ledger AND o.id = p_new_id[c]
          AND o.state = 0 AND o.expires_at <= v_now AND (v_alone OR o.id = ANY (v_locked));
        CONTINUE WHEN h.id IS NULL OR (v_due IS NOT NULL AND h.id = ANY (v_due));
        v_x := v_x || h;
        v_schedule := v_schedule || c;
      END LOOP;
    END IF;
    IF v_x IS NOT NULL THEN
      SELECT array_agg(z.step ORDER BY z.at, z.step) INTO v_schedule FROM (
        SELECT -c AS step, 0 AS at FROM generate_series(1, v_start_x) c
        UNION ALL SELECT -(v_start_x + y.ord)::int, y.at FROM unnest(v_schedule) WITH ORDINALITY y(at, ord)
        UNION ALL SELECT c, c FROM generate_series(1, n) c) z;
      IF v_start_x > 1 THEN
        v_schedule := ARRAY(SELECT -c FROM generate_series(1, v_start_x) c) || v_schedule[v_start_x + 1:];
      END IF;
    END IF;
    SELECT array_agg(l.e ORDER BY o.ordinality, l.ord) INTO v_hold_envelopes
      FROM unnest(v_h) WITH ORDINALITY o, unnest(o.envelopes) WITH ORDINALITY l(e, ord);
    IF v_x IS NOT NULL THEN
      SELECT array_agg(l.e ORDER BY o.ordinality, l.ord) INTO v_x_envelopes
        FROM unnest(v_x) WITH ORDINALITY o, unnest(o.envelopes) WITH ORDINALITY l(e, ord);
      k := 0;
      FOR c IN 1..cardinality(v_x) LOOP
        h := v_x[c];
        v_x_at[c] := k;
        k := k + cardinality(h.envelopes);
      END LOOP;
    END IF;
  END IF;
  IF cardinality(p_claims) > 0 THEN
    SELECT array_agg(j.id) INTO v_known FROM journal j
      WHERE j.ledger + 0 = v_ledger AND j.id = ANY (p_claims);
    IF v_known IS NOT NULL THEN
      SELECT array_agg(DISTINCT l.e) INTO v_late_envelopes FROM journal j, unnest(j.envelopes) l(e)
        WHERE j.ledger + 0 = v_ledger AND j.id = ANY (v_known);
    END IF;
  END IF;

  v_others := v_hold_envelopes || v_x_envelopes || v_late_envelopes;
  IF NOT v_alone THEN
    IF cardinality(m_member) > 0 THEN
      SELECT array_agg(e.id) INTO e_id FROM unnest(m_group, m_member) m(at, member)
        JOIN LATERAL (SELECT f.id FROM envelopes f
          WHERE f.group_id = v_groups[m.at] AND f.member = m.member) e ON true;
    END IF;
    PERFORM 1 FROM envelopes o WHERE o.id = ANY (e_id || v_others) ORDER BY o.id FOR UPDATE;
    v_missing := coalesce(cardinality(e_id), 0);
  END IF;
  -- The envelopes that the batch plans with have the places of its list; those of holds come after.
  IF cardinality(m_member) > 0 THEN
    SELECT array_agg(e.id), array_agg(coalesce(e.spent, 0)), array_agg(coalesce(e.held, 0)),
        array_agg(coalesce(e.saturated, false)), array_agg(coalesce(e.crossed, ''))
      INTO e_id, e_spent, e_held, e_saturated, e_crossed
      FROM (SELECT f.* FROM unnest(m_group, m_member) WITH ORDINALITY m(at, member, ord)
        LEFT JOIN LATERAL (SELECT o.id, o.spent, o.held, o.saturated, o.crossed FROM envelopes o
          WHERE o.group_id = v_groups[m.at] AND o.member = m.member) f ON true ORDER BY m.ord) e;
    IF NOT v_alone AND cardinality(array_remove(e_id, NULL)) <> v_missing THEN
      RAISE EXCEPTION 'an envelope was opened meanwhile' USING ERRCODE = '40001';
    END IF;
  END IF;
  IF v_others IS NOT NULL THEN
    SELECT e_id || array_agg(e.id), e_spent || array_agg(e.spent), e_held || array_agg(e.held),
        e_saturated || array_agg(e.saturated), e_crossed || array_agg(e.crossed)
      INTO e_id, e_spent, e_held, e_saturated, e_crossed
      FROM (SELECT o.id, o.spent, o.held, o.saturated, o.crossed FROM envelopes o
        WHERE o.id = ANY (CASE WHEN e_id IS NULL THEN v_others ELSE
          ARRAY(SELECT x FROM unnest(v_others) x EXCEPT SELECT y FROM unnest(e_id) y) END)) e;
    v_hold_slots := positions(v_hold_envelopes, e_id);
    IF v_x_envelopes IS NOT NULL THEN v_x_slots := positions(v_x_envelopes, e_id); END IF;
  END IF;
  e_dirty := array_fill(false, ARRAY[coalesce(cardinality(e_id), 0)]);

  IF v_hold_envelopes IS NOT NULL OR v_x_envelopes IS NOT NULL THEN
    SELECT array_agg(y.id) INTO v_extra FROM (
      SELECT DISTINCT l.id FROM (
        SELECT unnest(o.terms) FROM unnest(v_h) o UNION ALL SELECT unnest(o.terms) FROM unnest(v_x) o
      ) l(id) WHERE v_terms IS NULL OR l.id <> ALL (v_terms)) y;
  END IF;
  t_id := v_terms || v_extra;
  SELECT array_agg(y.cap ORDER BY x.ord), array_agg(y.soft ORDER BY x.ord),
      array_agg(y.limit_name ORDER BY x.ord), array_agg(y.unit ORDER BY x.ord),
      array_agg(cardinality(y.warn_steps) ORDER BY x.ord)
    INTO t_cap, t_soft, t_limit, t_unit, t_last
    FROM unnest(t_id) WITH ORDINALITY x(id, ord)
    LEFT JOIN LATERAL (SELECT * FROM terms z WHERE z.id = x.id) y ON true;
  IF 0 < ANY (t_last) THEN
    SELECT array_agg(w.steps ORDER BY x.ord, w.ord), array_agg(w.fraction ORDER BY x.ord, w.ord)
      INTO w_steps, w_fraction
      FROM unnest(t_id) WITH ORDINALITY x(id, ord), LATERAL (SELECT * FROM terms z WHERE z.id = x.id) y,
        unnest(y.warn_steps, y.warn_fractions) WITH ORDINALITY w(steps, fraction, ord);
  END IF;
  t_first := '{}';
  k := 0;
  FOR c IN 1..coalesce(cardinality(t_id), 0) LOOP
    t_first[c] := k + 1;
    k := k + coalesce(t_last[c], 0);
    t_last[c] := k;
  END LOOP;
${DECIDE}
${WRITE}
END
$body$;
`;

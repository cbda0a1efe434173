import { RESOLVED_HOLD_TTL_MS } from '../../ledger/records.ts';
import { DAY_SLOT_MS } from '../../ledger/report.ts';

/** Terms that nobody has planned with for so long are forgotten, unless a hold still has them. */
const TERMS_KEPT_DAYS = 450;

/**
 * Forgets what is past its time, at most `p_most` records of each kind, and tells whether there is
 * more. Old charges are folded into their envelopes in the same statement. Only who holds the ledger
 * alone may call it.
 */
export const TEND: string = `
CREATE FUNCTION tend(p_ledger int, p_now bigint, p_journal_ms bigint, p_most int)
RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
  v_gone int;
  v_more boolean;
BEGIN
  WITH old AS (
    DELETE FROM journal WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM journal WHERE ledger = p_ledger AND at <= p_now - p_journal_ms
      ORDER BY at, seq LIMIT p_most))
    RETURNING envelopes, posted
  ), sums AS (
    SELECT l.envelope, sum(l.posted) AS posted
    FROM old, unnest(old.envelopes, old.posted) l(envelope, posted) GROUP BY l.envelope
  ), folded AS (
    UPDATE envelopes e SET pruned = e.pruned + sums.posted FROM sums
    WHERE e.id = sums.envelope AND NOT e.saturated AND sums.posted <> 0
    RETURNING 1
  )
  SELECT count(*) INTO v_gone FROM old;
  v_more := v_gone >= p_most;
  DELETE FROM holds WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM holds
    WHERE ledger = p_ledger AND expires_at <= p_now - ${RESOLVED_HOLD_TTL_MS}
      AND state <> 0 AND resolved_at <= p_now - ${RESOLVED_HOLD_TTL_MS}
    ORDER BY expires_at LIMIT p_most));
  GET DIAGNOSTICS v_gone = ROW_COUNT;
  v_more := v_more OR v_gone >= p_most;
  DELETE FROM envelopes WHERE ctid = ANY (ARRAY(
    SELECT e.ctid FROM groups g JOIN envelopes e ON e.group_id = g.id
    WHERE g.ledger = p_ledger AND g.ends_at <= p_now - ${DAY_SLOT_MS} AND e.held = 0
    LIMIT p_most));
  GET DIAGNOSTICS v_gone = ROW_COUNT;
  v_more := v_more OR v_gone >= p_most;
  DELETE FROM groups g WHERE g.ledger = p_ledger AND g.ends_at <= p_now - ${DAY_SLOT_MS}
    AND NOT EXISTS (SELECT 1 FROM envelopes e WHERE e.group_id = g.id);
  DELETE FROM totals WHERE ctid = ANY (ARRAY(
    SELECT t.ctid FROM (VALUES (0), (1)) g(grain), LATERAL (
      SELECT ctid FROM totals WHERE ledger = p_ledger AND grain = g.grain
        AND slot <= p_now - p_journal_ms - ${DAY_SLOT_MS} LIMIT p_most) t));
  GET DIAGNOSTICS v_gone = ROW_COUNT;
  v_more := v_more OR v_gone >= p_most;
  DELETE FROM slots WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM slots WHERE ledger = p_ledger
      AND slot <= p_now - p_journal_ms - ${DAY_SLOT_MS} LIMIT p_most));
  DELETE FROM terms t WHERE t.last_day < p_now / ${DAY_SLOT_MS} - ${TERMS_KEPT_DAYS}
    AND NOT EXISTS (SELECT 1 FROM holds h WHERE t.id = ANY (h.terms));
  RETURN v_more;
END
$body$;
`;

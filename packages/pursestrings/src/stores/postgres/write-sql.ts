/** The end of `apply`: writes what was decided, one statement a kind, and answers. */
export const WRITE: string = `
  IF true = ANY (e_dirty) THEN
    v_wrote := true;
    UPDATE envelopes o SET spent = x.spent, held = x.held, saturated = x.saturated, crossed = x.crossed
      FROM unnest(e_id, e_spent, e_held, e_saturated, e_crossed, e_dirty)
        x(id, spent, held, saturated, crossed, dirty)
      WHERE o.id = x.id AND x.dirty AND (v_first_new IS NULL OR x.id < v_first_new);
    IF v_first_new IS NOT NULL THEN
      IF array_position(v_groups, NULL) IS NOT NULL THEN
        v_groups := group_ids(v_ledger, g_content, true);
      END IF;
      INSERT INTO envelopes (id, group_id, spent, held, pruned, saturated, crossed, member, long_member)
        SELECT e_id[x], v_groups[m_group[x]], e_spent[x], e_held[x], 0, e_saturated[x], e_crossed[x],
          m_member[x], m_long[x]
        FROM unnest(e_new) x ORDER BY 2, 8;
    END IF;
  END IF;
  IF cardinality(n_op) > 0 THEN
    v_wrote := true;
    INSERT INTO holds
      SELECT v_ledger, 0, CASE WHEN p_flags[x.op] & 16 <> 0 THEN 1 ELSE 0 END, x.expires, NULL,
        p_id[x.op], p_units[x.op], p_steps[x.op]::bigint[], p_labels[x.op], p_description[x.op],
        p_occupied[x.op], p_said[x.op], x.envelopes::bigint[], x.terms::int[], x.units::smallint[]
      FROM unnest(n_op, n_expires, n_envelopes, n_terms, n_units) x(op, expires, envelopes, terms, units);
  END IF;
  IF cardinality(u_id) > 0 THEN
    v_wrote := true;
    UPDATE holds o SET state = x.state,
        resolved_at = CASE WHEN x.again THEN coalesce(o.resolved_at, v_now) ELSE v_now END
      FROM (SELECT y.id, (array_agg(y.state ORDER BY y.ord DESC))[1] AS state, bool_and(y.again) AS again
        FROM unnest(u_id, u_state, u_again) WITH ORDINALITY y(id, state, again, ord) GROUP BY y.id) x
      WHERE o.ledger + 0 = v_ledger AND o.id = x.id;
  END IF;
  IF cardinality(j_id) > 0 THEN
    v_wrote := true;
    INSERT INTO journal (ledger, at, flags, id, units, steps, held_units, held_steps, labels, description,
        corrects, crossed, envelopes, posted)
      SELECT v_ledger, v_now, x.flags, x.id, x.units, x.steps::bigint[], x.held_units,
        x.held_steps::bigint[], x.labels, x.description, x.corrects, x.crossed, x.envelopes::bigint[],
        x.posted::bigint[]
      FROM unnest(j_flags, j_id, j_units, j_steps, j_held_units, j_held_steps, j_labels, j_description,
        j_corrects, j_crossed, j_envelopes, j_posted)
        x(flags, id, units, steps, held_units, held_steps, labels, description, corrects, crossed,
          envelopes, posted);
  END IF;
  IF (v_wrote OR p_flush) AND cardinality(j_id) + cardinality(p_denied) > 0 THEN
    PERFORM add_totals(v_ledger, v_now, j_labels, j_units, j_steps, p_denied_labels, p_denied_at, p_denied);
  END IF;
  IF v_alone THEN
    UPDATE tending SET tend_at = v_tend_at,
        due_from = CASE WHEN v_more THEN v_due_from ELSE v_now END WHERE ledger = v_ledger;
  END IF;
  IF p_async OR NOT v_wrote THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  RETURN '{"now":' || v_now || ',"wrote":' || (v_wrote OR p_flush) || ',"answers":['
    || array_to_string(v_answers, ',') || '],"expiries":[' || array_to_string(v_expiries, ',') || ']}';
`;

/**
 * The middle of `apply`: decides each operation, after the holds that are due. It is what
 * ledger/apply.ts does, on arrays: the two must be changed together, and the model tests hold them to
 * that.
 */
export const DECIDE: string = `
  FOR c IN 1..coalesce(cardinality(v_schedule), n) LOOP
    i := CASE WHEN v_schedule IS NULL THEN c ELSE v_schedule[c] END;
    v_free := false; v_post := false; v_take := false; v_full := false; v_recorded := false;
    v_conflict := NULL; v_charge := NULL; v_answer := NULL; h := NULL;
    IF i < 0 THEN
      h := v_x[-i];
      v_free := true;
      hs := v_x_slots; hs_at := v_x_at[-i]; k := -1;
      v_state := 3;
      IF h.abandon = 1 THEN
        v_state := 4; v_post := true;
        r_id := h.id; r_flags := 4; r_labels := h.labels; r_description := h.description; r_corrects := NULL;
        SELECT * INTO r_units, r_steps FROM chargeable(h.units, h.steps, h.occupied);
      END IF;
      u_id := u_id || h.id; u_state := u_state || v_state; u_again := u_again || false;
    ELSE
      k := p_kind[i];
      IF v_h IS NOT NULL THEN
        h := v_h[i];
        IF h.id IS NOT NULL THEN
          hs := v_hold_slots; hs_at := h_at;
          h_at := h_at + cardinality(h.envelopes);
          IF k <> 5 AND h.state = 0 AND h.expires_at <= v_now THEN
            h.state := CASE h.abandon WHEN 1 THEN 4 ELSE 3 END;
            h.resolved_at := v_now;
          END IF;
        END IF;
      END IF;
      v_state := h.state;
      IF k = 0 THEN
        IF h.id IS NOT NULL THEN
          IF h.said = p_said[i] AND h.labels = p_labels[i] AND h.units = p_units[i]
            AND h.steps = p_steps[i]::bigint[] AND h.description IS NOT DISTINCT FROM p_description[i]
          THEN v_answer := '[1,' || row_to_json(h) || ',true]';
          ELSE v_conflict := h.id; END IF;
        ELSIF p_id[i] = ANY (v_known) THEN v_conflict := p_id[i];
        ELSIF p_revision[i] <> v_revision THEN v_answer := '[11]';
        ELSIF p_flags[i] & 8 <> 0 THEN v_answer := '[4,0,[]]';
        ELSIF v_now < p_from[i] OR v_now >= p_until[i] THEN v_answer := '[12]';
        ELSE
          r_steps := p_steps[i]::bigint[];
          v_short := NULL; v_missing := 0;
          FOR q IN p_line[i] + 1..p_line[i + 1] LOOP
            s := l_envelope[q]; t := l_terms[q];
            IF e_id[s] IS NULL THEN v_missing := v_missing + 1; END IF;
            CONTINUE WHEN t_soft[t];
            v_amount := r_steps[l_unit[q]];
            CONTINUE WHEN v_amount <= t_cap[t] - e_spent[s] - e_held[s] AND v_amount > 0;
            CONTINUE WHEN v_amount = 0 AND t_cap[t] > 0;
            v_short := coalesce(v_short || ',', '') || '[' || (q - p_line[i] - 1) || ','
              || e_spent[s] || ',' || e_held[s] || ']';
          END LOOP;
          IF v_short IS NOT NULL THEN
            v_answer := CASE WHEN v_more THEN '[10]' ELSE '[4,1,[' || v_short || ']]' END;
          ELSE
            IF v_missing > 0 THEN
              IF v_room IS NULL THEN v_room := envelope_room(v_ledger, p_max_envelopes); END IF;
              IF v_missing > v_room THEN
                FOR q IN p_line[i] + 1..p_line[i + 1] LOOP
                  CONTINUE WHEN e_id[l_envelope[q]] IS NOT NULL;
                  v_short := coalesce(v_short || ',', '') || '[' || (q - p_line[i] - 1) || ',0,0]';
                END LOOP;
                v_answer := CASE WHEN v_more THEN '[10]' ELSE '[4,2,[' || v_short || ']]' END;
              ELSE v_take := true; END IF;
            ELSE v_take := true; END IF;
          END IF;
        END IF;
      ELSIF k = 5 THEN
        IF h.id IS NOT NULL THEN v_conflict := h.id;
        ELSE
          r_id := p_id[i]; r_units := p_units[i]; r_steps := p_steps[i]::bigint[];
          r_labels := p_labels[i]; r_description := p_description[i];
          r_flags := CASE WHEN p_flags[i] & 4 <> 0 THEN 2 ELSE 0 END; r_corrects := NULL;
          IF p_id[i] = ANY (v_known) THEN
            SELECT * INTO jr FROM journal j WHERE j.ledger + 0 = v_ledger AND j.id = p_id[i];
            IF jr.labels = r_labels AND jr.description IS NOT DISTINCT FROM r_description
              AND jr.units = r_units AND jr.steps = r_steps
            THEN v_answer := '[3,' || row_to_json(jr) || ',true]';
            ELSIF r_flags = 0 OR jr.flags & 4 = 0 THEN v_conflict := p_id[i];
            ELSE
              SELECT * INTO r_units, r_steps FROM difference(r_units, r_steps, jr.units, jr.steps);
              r_id := 'correction:' || jr.id; r_corrects := jr.id;
              SELECT * INTO jc FROM journal j WHERE j.ledger + 0 = v_ledger AND j.id = r_id;
              IF jc.id IS NULL THEN v_post := true; v_recorded := true; v_full := true;
              ELSIF jc.labels = r_labels AND jc.description IS NOT DISTINCT FROM r_description
                AND jc.units = r_units AND jc.steps = r_steps
              THEN v_answer := '[3,' || row_to_json(jc) || ',true]';
              ELSE v_answer := '[13,null,' || row_to_json(jc) || ']'; END IF;
            END IF;
          ELSIF p_revision[i] >= 0 AND p_revision[i] <> v_revision THEN v_answer := '[11]';
          ELSIF v_now < p_from[i] OR v_now >= p_until[i] THEN v_answer := '[12]';
          ELSE v_post := true; END IF;
        END IF;
      ELSIF h.id IS NULL AND k <> 4 THEN v_answer := '[14]';
      ELSIF k = 1 THEN
        IF p_flags[i] & 2 <> 0 AND v_state NOT IN (0, 3) THEN v_answer := '[9,' || v_state || ']';
        ELSE
          r_id := h.id; r_labels := p_labels[i]; r_description := coalesce(p_description[i], h.description);
          r_flags := CASE WHEN v_state = 0 THEN 0 ELSE 2 END; r_corrects := NULL;
          IF h.occupied = '' AND p_units[i] = '' THEN r_units := h.units; r_steps := h.steps;
          ELSIF h.occupied = '' AND p_units[i] = h.units THEN
            r_units := h.units; r_steps := p_steps[i]::bigint[];
          ELSE
            SELECT * INTO r_held_units, r_held_steps FROM chargeable(h.units, h.steps, h.occupied);
            SELECT * INTO r_units, r_steps
              FROM merged(p_units[i], p_steps[i]::bigint[], r_held_units, r_held_steps);
          END IF;
          IF v_state >= 4 THEN
            SELECT * INTO r_held_units, r_held_steps FROM chargeable(h.units, h.steps, h.occupied);
            SELECT * INTO r_units, r_steps FROM difference(r_units, r_steps, r_held_units, r_held_steps);
            r_id := 'correction:' || h.id; r_corrects := h.id;
          END IF;
          IF v_state IN (1, 5) THEN
            SELECT * INTO jr FROM journal j WHERE j.ledger + 0 = v_ledger AND j.id = r_id;
            IF jr.labels = r_labels AND jr.description IS NOT DISTINCT FROM r_description
              AND jr.units = r_units AND jr.steps = r_steps
            THEN v_answer := '[3,' || row_to_json(jr) || ',true]';
            ELSE v_conflict := h.id; END IF;
          ELSIF p_revision[i] >= 0 AND p_revision[i] <> v_revision THEN v_answer := '[11]';
          ELSIF v_now < p_from[i] OR v_now >= p_until[i] THEN v_answer := '[12]';
          ELSE
            v_post := true; v_free := v_state = 0; v_full := v_state <> 0;
            u_id := u_id || h.id; u_again := u_again || (v_state <> 0);
            u_state := u_state || CASE WHEN v_state = 4 THEN 5 ELSE 1 END;
          END IF;
        END IF;
      ELSIF k = 2 THEN
        IF v_state = 0 THEN
          v_free := true; v_answer := '[5]';
          u_id := u_id || h.id; u_again := u_again || false; u_state := u_state || 2;
        ELSIF v_state IN (2, 3) THEN v_answer := '[6]';
        ELSIF v_state = 1 THEN v_conflict := h.id;
        ELSE
          SELECT * INTO r_held_units, r_held_steps FROM chargeable(h.units, h.steps, h.occupied);
          SELECT * INTO r_units, r_steps FROM difference('', '{}', r_held_units, r_held_steps);
          r_id := 'correction:' || h.id; r_corrects := h.id; r_flags := 2;
          r_labels := h.labels; r_description := h.description;
          IF v_state = 5 THEN
            SELECT * INTO jr FROM journal j WHERE j.ledger + 0 = v_ledger AND j.id = r_id;
            IF jr.labels = r_labels AND jr.description IS NOT DISTINCT FROM r_description
              AND jr.units = r_units AND jr.steps = r_steps
            THEN v_answer := '[7,' || row_to_json(jr) || ',true]';
            ELSE v_conflict := h.id; END IF;
          ELSE
            v_post := true; v_full := true;
            u_id := u_id || h.id; u_again := u_again || true; u_state := u_state || 5;
          END IF;
        END IF;
      ELSIF k = 3 THEN
        IF v_state <> 0 THEN v_conflict := h.id;
        ELSE
          IF v_now + p_ms[i] > h.expires_at THEN
            h.expires_at := v_now + p_ms[i];
            UPDATE holds o SET expires_at = h.expires_at WHERE o.ledger + 0 = v_ledger AND o.id = h.id;
            v_wrote := true;
          END IF;
          v_answer := '[8,' || h.expires_at || ']';
        END IF;
      ELSE
        SELECT * INTO h2 FROM holds o WHERE o.ledger + 0 = v_ledger AND o.id = p_new_id[i];
        IF h2.state = 0 AND h2.expires_at <= v_now THEN
          h2.state := CASE h2.abandon WHEN 1 THEN 4 ELSE 3 END;
          h2.resolved_at := v_now;
        END IF;
        IF h2.said = 'renamed:' || p_id[i] AND v_state IS DISTINCT FROM 0 THEN
          v_answer := '[1,' || row_to_json(h2) || ',true]';
        ELSIF h.id IS NULL THEN v_answer := '[14]';
        ELSIF v_state <> 0 THEN v_conflict := h.id;
        ELSIF h2.id IS NOT NULL THEN v_conflict := h2.id;
        ELSIF p_new_id[i] = ANY (v_known) THEN v_conflict := p_new_id[i];
        ELSE
          h2 := h;
          h2.id := p_new_id[i]; h2.said := 'renamed:' || p_id[i];
          h2.expires_at := greatest(h.expires_at, v_now + p_ms[i]);
          INSERT INTO holds SELECT h2.*;
          UPDATE holds o SET state = 2, resolved_at = v_now WHERE o.ledger + 0 = v_ledger AND o.id = h.id;
          v_wrote := true;
          v_answer := '[1,' || row_to_json(h2) || ',false]';
        END IF;
      END IF;
      IF v_conflict IS NOT NULL THEN
        IF h2.id = v_conflict AND k = 4 THEN h := h2; END IF;
        IF h.id IS DISTINCT FROM v_conflict THEN h := NULL; END IF;
        IF h.state = 5 THEN
          SELECT row_to_json(j) INTO v_charge FROM journal j
            WHERE j.ledger + 0 = v_ledger AND j.id = 'correction:' || v_conflict;
        END IF;
        IF v_charge IS NULL THEN
          s := array_position(j_id, v_conflict);
          IF s IS NOT NULL THEN
            v_charge := written_charge(j_id[s], v_now, j_flags[s], j_units[s], j_steps[s], j_held_units[s],
              j_held_steps[s], j_labels[s], j_description[s], j_corrects[s], j_crossed[s]);
          ELSE
            SELECT row_to_json(j) INTO v_charge FROM journal j
              WHERE j.ledger + 0 = v_ledger AND j.id = v_conflict;
          END IF;
        END IF;
        v_answer := '[13,' || CASE WHEN h.id IS NULL THEN 'null' ELSE row_to_json(h)::text END || ','
          || coalesce(v_charge, 'null') || ']';
      END IF;
    END IF;

    IF v_take THEN
      r_envelopes := ''; v_text := ''; r_units := '';
      FOR q IN p_line[i] + 1..p_line[i + 1] LOOP
        s := l_envelope[q];
        IF e_id[s] IS NULL THEN
          e_id[s] := nextval('envelope_ids');
          e_new := e_new || s; v_first_new := coalesce(v_first_new, e_id[s]);
          v_room := v_room - 1;
        END IF;
        v_amount := r_steps[l_unit[q]];
        IF NOT e_saturated[s] THEN
          IF e_held[s] + v_amount > c_max THEN
            e_spent[s] := c_max; e_saturated[s] := true;
          ELSE
            e_held[s] := e_held[s] + v_amount;
          END IF;
        END IF;
        e_dirty[s] := true;
        r_envelopes := r_envelopes || ',' || e_id[s];
        v_text := v_text || ',' || v_terms[l_terms[q]];
        r_units := r_units || ',' || l_unit[q];
      END LOOP;
      n_op := n_op || i; n_expires := n_expires || (v_now + p_ms[i]);
      n_envelopes := n_envelopes || ('{' || substr(r_envelopes, 2) || '}');
      n_terms := n_terms || ('{' || substr(v_text, 2) || '}');
      n_units := n_units || ('{' || substr(r_units, 2) || '}');
      v_answer := '[0,' || (v_now + p_ms[i]) || ']';
    END IF;

    IF v_post OR v_free THEN
      r_crossed := NULL; r_envelopes := ''; r_posted := '';
      IF v_post THEN
        IF v_recorded THEN
          r_held_units := jr.held_units; r_held_steps := jr.held_steps;
          v_names := string_to_array(r_units, ',');
          FOR q IN 1..cardinality(jr.envelopes) LOOP
            s := array_position(e_id, jr.envelopes[q]);
            SELECT g.unit INTO v_text FROM envelopes o, groups g
              WHERE o.id = jr.envelopes[q] AND g.id = o.group_id;
            v_amount := coalesce(r_steps[array_position(v_names, v_text)], 0);
            r_envelopes := r_envelopes || ',' || jr.envelopes[q];
            r_posted := r_posted || ',' || v_amount;
            CONTINUE WHEN v_amount = 0 OR s IS NULL OR e_saturated[s];
            e_dirty[s] := true;
            e_spent[s] := e_spent[s] + v_amount;
            IF e_spent[s] > c_max THEN e_spent[s] := c_max; e_saturated[s] := true; r_flags := r_flags | 1; END IF;
          END LOOP;
        ELSIF h.id IS NULL THEN r_held_units := NULL; r_held_steps := NULL;
        ELSIF h.occupied = '' THEN r_held_units := h.units; r_held_steps := h.steps;
        ELSE SELECT * INTO r_held_units, r_held_steps FROM chargeable(h.units, h.steps, h.occupied);
        END IF;
        v_same := h.id IS NOT NULL AND r_units = h.units;
        IF h.id IS NOT NULL AND NOT v_same THEN
          v_names := string_to_array(r_units, ',');
          v_held_names := string_to_array(h.units, ',');
        END IF;
      END IF;
      IF h.id IS NOT NULL THEN
        FOR q IN 1..cardinality(h.envelopes) LOOP
          s := hs[hs_at + q];
          IF v_free AND s IS NOT NULL THEN
            e_held[s] := e_held[s] - h.steps[h.unit_at[q]];
            IF e_held[s] < 0 AND e_saturated[s] THEN e_held[s] := 0; END IF;
            e_dirty[s] := true;
          END IF;
          CONTINUE WHEN NOT v_post;
          IF v_same THEN v_amount := r_steps[h.unit_at[q]];
          ELSE v_amount := coalesce(r_steps[array_position(v_names, v_held_names[h.unit_at[q]])], 0);
          END IF;
          r_envelopes := r_envelopes || ',' || h.envelopes[q];
          r_posted := r_posted || ',' || v_amount;
          CONTINUE WHEN v_amount = 0 OR s IS NULL;
          t := array_position(t_id, h.terms[q]);
          e_dirty[s] := true;
          IF NOT e_saturated[s] THEN
            e_spent[s] := e_spent[s] + v_amount;
            IF e_spent[s] > c_max THEN e_spent[s] := c_max; e_saturated[s] := true; END IF;
          END IF;
          IF v_amount > 0 THEN
            IF e_spent[s] > t_cap[t] OR e_saturated[s] THEN r_flags := r_flags | 1; END IF;
            FOR w IN t_first[t]..t_last[t] LOOP
              EXIT WHEN e_spent[s] < w_steps[w];
              CONTINUE WHEN strpos(e_crossed[s], w_fraction[w]) > 0;
              e_crossed[s] := e_crossed[s] || w_fraction[w];
              r_crossed := coalesce(r_crossed || ',', '') || '{"limit":' || t_limit[t] || ',"unit":"'
                || t_unit[t] || '","fraction":' || w_fraction[w] || '}';
            END LOOP;
          END IF;
        END LOOP;
      END IF;
      IF v_post AND i > 0 AND NOT v_recorded AND p_line[i + 1] > p_line[i] THEN
        v_names := string_to_array(r_units, ',');
        v_held_names := string_to_array(p_units[i], ',');
        FOR q IN p_line[i] + 1..p_line[i + 1] LOOP
          s := l_envelope[q]; t := l_terms[q];
          IF e_id[s] IS NULL THEN
            e_id[s] := nextval('envelope_ids');
            e_new := e_new || s; v_first_new := coalesce(v_first_new, e_id[s]);
            v_room := v_room - 1;
          END IF;
          e_dirty[s] := true;
          v_amount := coalesce(r_steps[array_position(v_names, v_held_names[l_unit[q]])], 0);
          r_envelopes := r_envelopes || ',' || e_id[s];
          r_posted := r_posted || ',' || v_amount;
          CONTINUE WHEN v_amount = 0;
          IF NOT e_saturated[s] THEN
            e_spent[s] := e_spent[s] + v_amount;
            IF e_spent[s] > c_max THEN e_spent[s] := c_max; e_saturated[s] := true; END IF;
          END IF;
          IF v_amount > 0 THEN
            IF e_spent[s] > t_cap[t] OR e_saturated[s] THEN r_flags := r_flags | 1; END IF;
            FOR w IN t_first[t]..t_last[t] LOOP
              EXIT WHEN e_spent[s] < w_steps[w];
              CONTINUE WHEN strpos(e_crossed[s], w_fraction[w]) > 0;
              e_crossed[s] := e_crossed[s] || w_fraction[w];
              r_crossed := coalesce(r_crossed || ',', '') || '{"limit":' || t_limit[t] || ',"unit":"'
                || t_unit[t] || '","fraction":' || w_fraction[w] || '}';
            END LOOP;
          END IF;
        END LOOP;
      END IF;
      IF v_post THEN
        v_text := array_to_string(r_steps, ',');
        v_short := array_to_string(r_held_steps, ',');
        j_id := j_id || r_id; j_flags := j_flags || r_flags; j_units := j_units || r_units;
        j_steps := j_steps || ('{' || v_text || '}'); j_held_units := j_held_units || r_held_units;
        j_held_steps := j_held_steps || ('{' || v_short || '}'); j_labels := j_labels || r_labels;
        j_description := j_description || r_description; j_corrects := j_corrects || r_corrects;
        j_crossed := j_crossed || r_crossed;
        j_envelopes := j_envelopes || ('{' || substr(r_envelopes, 2) || '}');
        j_posted := j_posted || ('{' || substr(r_posted, 2) || '}');
        IF v_full OR i < 0 THEN
          v_charge := written_charge(r_id, v_now, r_flags, r_units, '{' || v_text || '}', r_held_units, '{' || v_short || '}',
            r_labels, r_description, r_corrects, r_crossed);
          v_answer := '[' || CASE WHEN k = 2 THEN 7 ELSE 3 END || ',' || v_charge || ',false]';
        ELSE
          v_answer := '[2,' || r_flags || ',"' || r_units || '",' || '[' || v_text || '],'
            || coalesce('"' || r_held_units || '",[' || v_short || ']', 'null,null') || ','
            || CASE WHEN h.id IS NULL THEN 'null' ELSE coalesce(to_json(h.description)::text, 'null') END
            || ',[' || coalesce(r_crossed, '') || ']]';
        END IF;
      END IF;
    END IF;
    IF i < 0 THEN
      h.state := v_state; h.resolved_at := v_now;
      v_expiries := v_expiries || ('[' || row_to_json(h) || ',' || coalesce(v_charge, 'null') || ']');
    ELSE
      v_answers := v_answers || v_answer;
    END IF;
  END LOOP;
`;

-- Writes an import, or adds lines to it.
-- $1 to $10: the columns in order. $3 is the present time, and $7 to $10 are added.
INSERT INTO imports (id, began_at, last_at, source, rules, program, lines, counted, left_out, unreadable)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE SET
    last_at = excluded.last_at,
    lines = imports.lines + excluded.lines,
    counted = imports.counted + excluded.counted,
    left_out = imports.left_out + excluded.left_out,
    unreadable = imports.unreadable + excluded.unreadable

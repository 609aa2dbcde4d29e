-- Makes a chunk longer, unless it has changed meanwhile or another chunk follows it.
-- $1: its id. $2: its digest so far. $3 to $7: the changed columns in order.
UPDATE import_chunks SET bytes = $3, lines = $4, digest = $5, line_checks = $6, open_line = $7
WHERE id = $1 AND digest = $2 AND NOT sealed

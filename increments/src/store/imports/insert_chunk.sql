-- Inserts a chunk, unless another import has inserted one in its place.
-- $1 to $10: the columns in order.
INSERT INTO import_chunks
    (id, parent, first_line, ordinal, bytes, lines, digest, line_checks, open_line, counts_known)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (parent, first_line, ordinal) DO NOTHING

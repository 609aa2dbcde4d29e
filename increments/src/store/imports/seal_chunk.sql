-- Ends the growth of a chunk, since another one follows it. Changes nothing if the chunk has grown meanwhile.
-- $1: its id. $2: its digest.
UPDATE import_chunks SET sealed = true WHERE id = $1 AND digest = $2

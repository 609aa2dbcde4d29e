-- Notes that lines of a chunk are counted that had been left out, unless another import has done so meanwhile.
-- $1: its id. $2: its digest. $3: its revision so far.
UPDATE import_chunks SET revision = revision + 1 WHERE id = $1 AND digest = $2 AND revision = $3

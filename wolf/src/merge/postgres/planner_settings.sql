-- Prescribes plans for the statements of a merge. Compiling a statement takes longer than it saves here.
DISCARD PLANS;
SET LOCAL jit = off;
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_sort = off;

-- Resets every setting that a merge makes, for later statements of its transaction.
SET LOCAL jit = DEFAULT;
SET LOCAL plan_cache_mode = DEFAULT;
SET LOCAL enable_seqscan = DEFAULT;
SET LOCAL enable_sort = DEFAULT;
SET LOCAL enable_mergejoin = DEFAULT;
SET LOCAL enable_hashjoin = DEFAULT;
SET LOCAL enable_nestloop = DEFAULT;

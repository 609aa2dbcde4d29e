DROP FUNCTION hold_shards(bigint[]);

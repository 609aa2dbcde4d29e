-- Whether the backend works on a statement, and when its state changed, in microseconds since 1970. A backend whose client does
-- not read the answer, or has sent half of a statement, has the state 'active' too. {backend}: the condition that finds it.
SELECT
    state = 'active' AND wait_event_type IS DISTINCT FROM 'Client' AS at_work,
    (extract(epoch FROM state_change) * 1000000)::bigint AS changed_at
FROM pg_stat_activity
WHERE {backend}

-- Adds deleted hourly counts to the sums of their day.
-- ?1: the day. ?2: JSON, [[name, views], ...].
INSERT INTO kept_days (name, date, views)
SELECT value->>0, ?1, value->>1 FROM json_each(?2)
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ON CONFLICT (name, date) DO UPDATE SET views = kept_days.views + excluded.views

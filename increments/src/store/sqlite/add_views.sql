-- Adds views to the counts.
-- ?1: JSON, [[name, date, hour, what the count grows by], ...]. ?2: when they change.
INSERT INTO page_views (name, date, hour, views, updated_at)
SELECT value->>0, value->>1, value->>2, value->>3, ?2 FROM json_each(?1)
WHERE true -- tells the parser that ON begins the conflict clause, not a join's
ON CONFLICT (name, date, hour)
DO UPDATE SET views = views + excluded.views, updated_at = excluded.updated_at

-- The pages whose counts or titles have changed since the last refresh, on a Citus cluster. There a mark is a row beside the
-- count that it marks, on the same node, so that no one sees the one without the other. Elsewhere `stale_hours` and `stale_titles`
-- have the marks, and this is empty.
CREATE TABLE stale_pages (
    name  text COLLATE "C" NOT NULL,
    -- The hour of the count; null for a title.
    date  date,
    hour  smallint,
    -- Whether the running merge has taken the mark. It deletes no others.
    taken boolean NOT NULL DEFAULT false
);
ALTER TABLE stale_pages REPLICA IDENTITY FULL;

-- What the running merge adds to the report, on a Citus cluster. Empty between two transactions.
CREATE TABLE merge_deltas (
    name         text COLLATE "C" NOT NULL,
    date         date NOT NULL,
    hour         smallint NOT NULL,
    views        bigint NOT NULL,
    -- Whether the report has no row of the page for the day, and for the month.
    new_in_day   boolean NOT NULL,
    new_in_month boolean NOT NULL
);
ALTER TABLE merge_deltas REPLICA IDENTITY FULL;

-- Whether a change of the report is being published, on a Citus cluster. There a commit becomes visible on each node at another
-- moment. A reader that finds the same number before and after it has read, and nothing under way, has seen one version.
CREATE TABLE report_publication (
    id           smallint PRIMARY KEY CHECK (id = 1),
    number       bigint NOT NULL,
    is_under_way boolean NOT NULL
);
INSERT INTO report_publication (id, number, is_under_way) VALUES (1, 0, false);

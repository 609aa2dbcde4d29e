-- Takes the marks of these hours that this statement sees. Later statements see at least the counts that they mark.
UPDATE stale_pages SET taken = true WHERE (date, hour) IN ({hours})

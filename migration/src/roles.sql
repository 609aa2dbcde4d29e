-- Three logins, each with the least that its service needs. Run again after every migration; nothing is taken away that
-- was given by hand, but for what everybody may do.
--
-- `analytics migrate --roles` runs this with the prefix of --role-prefix in place of `analytics`. The same by hand:
-- psql --single-transaction --file roles.sql

-- Logins belong to all databases of a server: another one may have made them, or be making them now.
DO $$
DECLARE
    login text;
BEGIN
    FOREACH login IN ARRAY ARRAY['analytics_increments', 'analytics_reports', 'analytics_wolf'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', login);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
    -- Who migrates goes on to change what the Wolf owns.
    IF NOT pg_has_role(current_user, 'analytics_wolf', 'MEMBER') THEN
        GRANT analytics_wolf TO CURRENT_USER;
    END IF;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    -- A materialized view is refreshed by way of a temporary table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO analytics_wolf', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO analytics_increments, analytics_reports, analytics_wolf', current_database());
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO analytics_increments, analytics_reports, analytics_wolf;

-- Each looks at its start, and when it is asked whether it is ready, which migrations there are and which programs may run.
GRANT SELECT ON seaql_migrations, program_versions TO analytics_increments, analytics_reports, analytics_wolf;

-- What a refresh announces before it looks: no recorded time may be at or before it that is not in the report.
GRANT SELECT ON refresh_clock TO analytics_increments, analytics_reports, analytics_wolf;

-- Increments: adds to the counts, marks what is stale, and can't read the report.
GRANT SELECT, INSERT, UPDATE ON pages, page_views TO analytics_increments;
GRANT SELECT, INSERT ON idempotency_keys TO analytics_increments;
GRANT INSERT ON stale_hours, stale_titles TO analytics_increments;
-- On a Citus cluster counts are added from the marks that were copied before, and nodes commit their own alone.
GRANT SELECT, INSERT ON stale_pages TO analytics_increments;
GRANT EXECUTE ON FUNCTION hold_shards(bigint[]) TO analytics_increments;
GRANT SELECT, INSERT ON counted_parts TO analytics_increments;
GRANT USAGE ON SEQUENCE claims TO analytics_increments;
-- An import knows a log again, and keeps what it counted.
GRANT SELECT, INSERT, UPDATE ON imports, import_chunks, import_counts TO analytics_increments;
-- Hands jobs over to the Wolf, and tells how far they are.
GRANT SELECT, INSERT ON jobs TO analytics_increments;
GRANT SELECT ON page_aliases TO analytics_increments;
-- Asks for a refresh.
GRANT SELECT, UPDATE ON refresh_requests TO analytics_increments;

-- Reports: reads the report and how fresh it is, and can write nothing.
GRANT SELECT ON page_views_report, report_refreshes, report_changes, report_publication TO analytics_reports;

-- Wolf: owns the report and its definition, builds new ones, takes marks, and drops what is old.
GRANT CREATE ON SCHEMA public TO analytics_wolf;
GRANT SELECT, DELETE ON stale_hours, stale_titles, idempotency_keys TO analytics_wolf;
-- What it has taken the mark of and not finished is marked again.
GRANT INSERT ON stale_hours TO analytics_wolf;
-- A merge on a Citus cluster.
GRANT SELECT, INSERT, UPDATE, DELETE ON stale_pages TO analytics_wolf;
GRANT SELECT, INSERT, DELETE ON merge_deltas TO analytics_wolf;
GRANT SELECT, DELETE ON counted_parts TO analytics_wolf;
GRANT SELECT, UPDATE ON report_publication TO analytics_wolf;
GRANT SELECT, INSERT, DELETE ON report_refreshes, report_changes TO analytics_wolf;
GRANT UPDATE ON refresh_clock TO analytics_wolf;
GRANT SELECT ON refresh_requests TO analytics_wolf;
-- Jobs move counts and take them away, with their pages, and with what imports have kept of them.
GRANT SELECT, INSERT, UPDATE, DELETE ON pages, page_views, kept_days, page_aliases TO analytics_wolf;
GRANT SELECT, UPDATE, DELETE ON jobs TO analytics_wolf;
-- Groups of pages are declared by its login, and it notes which groups a page is in.
GRANT SELECT, INSERT, UPDATE, DELETE ON page_groups, page_memberships TO analytics_wolf;
GRANT SELECT, UPDATE ON imports TO analytics_wolf;
GRANT SELECT, UPDATE, DELETE ON import_counts TO analytics_wolf;
ALTER VIEW counted_hours OWNER TO analytics_wolf;
ALTER VIEW counted_hours_of_groups OWNER TO analytics_wolf;
ALTER VIEW page_views_live OWNER TO analytics_wolf;
-- Of either kind: a materialized view is a table to this statement.
ALTER TABLE page_views_report OWNER TO analytics_wolf;
-- The reports that it will build can be read as this one can.
ALTER DEFAULT PRIVILEGES FOR ROLE analytics_wolf IN SCHEMA public GRANT SELECT ON TABLES TO analytics_reports;

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.kept_days (
    name text NOT NULL COLLATE pg_catalog."C",
    date date NOT NULL,
    views bigint NOT NULL
);
CREATE TABLE public.page_views (
    name text NOT NULL COLLATE pg_catalog."C",
    date date NOT NULL,
    hour smallint NOT NULL,
    views bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT page_views_hour_check CHECK (((hour >= 0) AND (hour <= 23))),
    CONSTRAINT page_views_views_check CHECK ((views >= 0))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');
CREATE VIEW public.counted_days AS
 SELECT page_views.name,
    page_views.date,
    page_views.views
   FROM public.page_views
UNION ALL
 SELECT kept_days.name,
    kept_days.date,
    kept_days.views
   FROM public.kept_days;
CREATE TABLE public.idempotency_keys (
    key text NOT NULL COLLATE pg_catalog."C",
    fingerprint bytea NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    kept boolean NOT NULL
);
CREATE TABLE public.pages (
    name text NOT NULL COLLATE pg_catalog."C",
    title text,
    first_seen_at timestamp with time zone NOT NULL,
    CONSTRAINT pages_name_check CHECK ((name <> ''::text))
);
CREATE VIEW public.page_views_live AS
 SELECT ('hour'::text COLLATE "C") AS grain,
    page_views.name,
    page_views.date,
    page_views.hour,
    NULL::text AS title,
    page_views.views
   FROM public.page_views
UNION ALL
 SELECT 'day'::text AS grain,
    counted_days.name,
    counted_days.date,
    (0)::smallint AS hour,
    NULL::text AS title,
    (sum(counted_days.views))::bigint AS views
   FROM public.counted_days
  GROUP BY counted_days.name, counted_days.date
UNION ALL
 SELECT 'month'::text AS grain,
    month.name,
    month.date,
    (0)::smallint AS hour,
    pages.title,
    month.views
   FROM (( SELECT counted_days.name,
            (date_trunc('month'::text, (counted_days.date)::timestamp without time zone))::date AS date,
            (sum(counted_days.views))::bigint AS views
           FROM public.counted_days
          GROUP BY counted_days.name, ((date_trunc('month'::text, (counted_days.date)::timestamp without time zone))::date)) month
     LEFT JOIN public.pages ON ((pages.name = month.name)))
UNION ALL
 SELECT 'hour'::text AS grain,
    ''::text AS name,
    page_views.date,
    page_views.hour,
    NULL::text AS title,
    (sum(page_views.views))::bigint AS views
   FROM public.page_views
  GROUP BY page_views.date, page_views.hour
UNION ALL
 SELECT 'day'::text AS grain,
    ''::text AS name,
    counted_days.date,
    (0)::smallint AS hour,
    NULL::text AS title,
    (sum(counted_days.views))::bigint AS views
   FROM public.counted_days
  GROUP BY counted_days.date
UNION ALL
 SELECT 'month'::text AS grain,
    ''::text AS name,
    (date_trunc('month'::text, (counted_days.date)::timestamp without time zone))::date AS date,
    (0)::smallint AS hour,
    NULL::text AS title,
    (sum(counted_days.views))::bigint AS views
   FROM public.counted_days
  GROUP BY ((date_trunc('month'::text, (counted_days.date)::timestamp without time zone))::date);
CREATE TABLE public.page_views_report (
    views bigint NOT NULL,
    date date NOT NULL,
    hour smallint NOT NULL,
    grain text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    title text
)
WITH (fillfactor='60', autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');
CREATE TABLE public.report_refreshes (
    id bigint NOT NULL,
    as_of timestamp with time zone,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    next_refresh_at timestamp with time zone,
    overdue_at timestamp with time zone,
    hours_since date,
    content_version bigint NOT NULL,
    hours integer DEFAULT 0 NOT NULL,
    rows_changed bigint DEFAULT 0 NOT NULL,
    error text
);
ALTER TABLE public.report_refreshes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.report_refreshes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.seaql_migrations (
    version character varying NOT NULL,
    applied_at bigint NOT NULL
);
CREATE TABLE public.stale_hours (
    id bigint NOT NULL,
    date date NOT NULL,
    hour smallint NOT NULL,
    CONSTRAINT stale_hours_hour_check CHECK (((hour >= 0) AND (hour <= 23)))
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000');
ALTER TABLE public.stale_hours ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stale_hours_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.stale_titles (
    id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C"
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000');
ALTER TABLE public.stale_titles ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stale_titles_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
INSERT INTO public.idempotency_keys VALUES
	('import:cbbdd641c5afbd4bda962ce3a4cd09d858735df0867703ed13747901dfab9a66:0', '\x29884345fbca8b1772728314b781c19f1036250cbdabce29dd461b92e5ab62fe', '2026-11-26 00:18:48.323365+00', true),
	('first', '\x58c26efeb98feac9079e62b45801f263cb9c41dba9d64674023a51501b6c2764', '2026-11-26 00:18:48.559426+00', false),
	('second', '\xff86bfdafb1d3f71b43a226532e17ab942d7d9945dfe7adcf3d8fb8b6143d2ae', '2026-11-26 00:18:48.96015+00', false),
	('pending', '\x24123a606f4e384b1ec9344c472c8006e26a05747add1c47c5005cacf21c6f47', '2026-11-26 00:18:50.377398+00', false),
	('import:6712876c5c5073e7e5b598b868dd71b6c67ffe094f568c30f29fc4777249cff7:0', '\x0952c597d6ea63a22c6c7df3ca23477d29b9516cf9601e02abd94d0d6845a358', '2026-11-26 00:18:50.537434+00', true);
INSERT INTO public.kept_days VALUES
	('/blog/tags/defcon', '2015-05-17', 1),
	('/blog/tags/examples', '2015-05-17', 1),
	('/blog/tags/munin', '2015-05-17', 1),
	('/blog/tags/projects', '2015-05-17', 1),
	('/blog/tags/regex', '2015-05-17', 1),
	('/blog/tags/release', '2015-05-17', 1),
	('/blog/tags/web', '2015-05-17', 1),
	('/blog/tags/bdb', '2015-05-17', 1),
	('/blog/tags/grok', '2015-05-17', 1),
	('/blog/tags/statistics', '2015-05-17', 1),
	('/blog/tags/subversion', '2015-05-17', 1),
	('/projects/fex/', '2015-05-17', 1),
	('/projects/xpathtool/', '2015-05-17', 1),
	('/scripts/grok-py-test/', '2015-05-17', 1),
	('/blog', '2015-05-17', 2),
	('/blog/tags/linux', '2015-05-17', 1),
	('/blog/tags/noise', '2015-05-17', 1),
	('/blog/tags/regexp', '2015-05-17', 1),
	('/files/xdotool/docs/', '2015-05-17', 2),
	('/projects/firefox-tabsearch/', '2015-05-17', 1),
	('/projects/xdotool/', '2015-05-17', 9),
	('/', '2015-05-17', 8),
	('/about/', '2015-05-17', 1),
	('/articles/arp-security/', '2015-05-17', 1),
	('/articles/dynamic-dns-with-dhcp/', '2015-05-17', 5),
	('/articles/efficiency/', '2015-05-17', 1),
	('/articles/openldap-with-saslauthd/', '2015-05-17', 1),
	('/articles/ppp-over-ssh/', '2015-05-17', 1),
	('/articles/ssh-security/', '2015-05-17', 2),
	('/articles/week-of-unix-tools/', '2015-05-17', 1),
	('/blog/tags/scale', '2015-05-17', 1),
	('/blog/tags/xpathtool', '2015-05-17', 1),
	('/scripts/noise', '2015-05-17', 1);
INSERT INTO public.page_views VALUES
	('/docs', '2026-11-26', 0, 7, '2026-11-26 00:18:48.559426+00'),
	('/straße/%20"quoted"', '2026-11-26', 0, 5, '2026-11-26 00:18:48.559426+00'),
	('/late', '2026-11-26', 0, 3, '2026-11-26 00:18:48.96015+00'),
	('/', '2026-11-26', 0, 142, '2026-11-26 00:18:50.377398+00'),
	('/new', '2026-11-26', 0, 1, '2026-11-26 00:18:50.377398+00'),
	('/', '2016-05-17', 10, 1, '2026-11-26 00:18:50.537434+00'),
	('/articles/dynamic-dns-with-dhcp/', '2016-05-17', 10, 1, '2026-11-26 00:18:50.537434+00'),
	('/projects/xdotool/', '2016-05-17', 10, 1, '2026-11-26 00:18:50.537434+00');
INSERT INTO public.page_views_report VALUES
	(1, '2015-05-17', 0, 'day', '/about/', NULL),
	(1, '2015-05-01', 0, 'month', '/about/', NULL),
	(1, '2015-05-17', 0, 'day', '/articles/arp-security/', NULL),
	(1, '2015-05-01', 0, 'month', '/articles/arp-security/', NULL),
	(1, '2015-05-17', 0, 'day', '/articles/efficiency/', NULL),
	(1, '2015-05-01', 0, 'month', '/articles/efficiency/', NULL),
	(1, '2015-05-17', 0, 'day', '/articles/openldap-with-saslauthd/', NULL),
	(1, '2015-05-01', 0, 'month', '/articles/openldap-with-saslauthd/', NULL),
	(1, '2015-05-17', 0, 'day', '/articles/ppp-over-ssh/', NULL),
	(1, '2015-05-01', 0, 'month', '/articles/ppp-over-ssh/', NULL),
	(2, '2015-05-17', 0, 'day', '/articles/ssh-security/', NULL),
	(2, '2015-05-01', 0, 'month', '/articles/ssh-security/', NULL),
	(1, '2015-05-17', 0, 'day', '/articles/week-of-unix-tools/', NULL),
	(1, '2015-05-01', 0, 'month', '/articles/week-of-unix-tools/', NULL),
	(2, '2015-05-17', 0, 'day', '/blog', NULL),
	(2, '2015-05-01', 0, 'month', '/blog', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/bdb', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/bdb', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/grok', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/grok', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/linux', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/linux', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/noise', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/noise', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/regexp', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/regexp', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/scale', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/scale', NULL),
	(55, '2015-05-17', 0, 'day', '', NULL),
	(55, '2015-05-01', 0, 'month', '', NULL),
	(8, '2015-05-17', 0, 'day', '/', NULL),
	(5, '2015-05-17', 0, 'day', '/articles/dynamic-dns-with-dhcp/', NULL),
	(5, '2015-05-01', 0, 'month', '/articles/dynamic-dns-with-dhcp/', NULL),
	(8, '2015-05-01', 0, 'month', '/', 'Home'),
	(1, '2015-05-17', 0, 'day', '/blog/tags/statistics', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/statistics', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/subversion', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/subversion', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/xpathtool', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/xpathtool', NULL),
	(2, '2015-05-17', 0, 'day', '/files/xdotool/docs/', NULL),
	(2, '2015-05-01', 0, 'month', '/files/xdotool/docs/', NULL),
	(1, '2015-05-17', 0, 'day', '/projects/fex/', NULL),
	(1, '2015-05-01', 0, 'month', '/projects/fex/', NULL),
	(1, '2015-05-17', 0, 'day', '/projects/firefox-tabsearch/', NULL),
	(1, '2015-05-01', 0, 'month', '/projects/firefox-tabsearch/', NULL),
	(1, '2015-05-17', 0, 'day', '/projects/xpathtool/', NULL),
	(1, '2015-05-01', 0, 'month', '/projects/xpathtool/', NULL),
	(1, '2015-05-17', 0, 'day', '/scripts/grok-py-test/', NULL),
	(1, '2015-05-01', 0, 'month', '/scripts/grok-py-test/', NULL),
	(1, '2015-05-17', 0, 'day', '/scripts/noise', NULL),
	(1, '2015-05-01', 0, 'month', '/scripts/noise', NULL),
	(7, '2026-11-26', 0, 'hour', '/docs', NULL),
	(7, '2026-11-26', 0, 'day', '/docs', NULL),
	(7, '2026-11-01', 0, 'month', '/docs', 'Documents – everything'),
	(5, '2026-11-26', 0, 'hour', '/straße/%20"quoted"', NULL),
	(5, '2026-11-26', 0, 'day', '/straße/%20"quoted"', NULL),
	(5, '2026-11-01', 0, 'month', '/straße/%20"quoted"', 'Größe'),
	(1, '2015-05-17', 0, 'day', '/blog/tags/defcon', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/defcon', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/examples', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/examples', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/munin', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/munin', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/projects', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/projects', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/regex', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/regex', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/release', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/release', NULL),
	(1, '2015-05-17', 0, 'day', '/blog/tags/web', NULL),
	(1, '2015-05-01', 0, 'month', '/blog/tags/web', NULL),
	(9, '2015-05-17', 0, 'day', '/projects/xdotool/', NULL),
	(9, '2015-05-01', 0, 'month', '/projects/xdotool/', NULL),
	(42, '2026-11-26', 0, 'hour', '/', NULL),
	(42, '2026-11-26', 0, 'day', '/', NULL),
	(57, '2026-11-26', 0, 'hour', '', NULL),
	(57, '2026-11-26', 0, 'day', '', NULL),
	(57, '2026-11-01', 0, 'month', '', NULL),
	(3, '2026-11-26', 0, 'hour', '/late', NULL),
	(3, '2026-11-26', 0, 'day', '/late', NULL),
	(3, '2026-11-01', 0, 'month', '/late', NULL),
	(42, '2026-11-01', 0, 'month', '/', 'Home');
INSERT INTO public.pages VALUES
	('/about/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/articles/arp-security/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/articles/dynamic-dns-with-dhcp/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/articles/efficiency/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/articles/openldap-with-saslauthd/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/articles/ppp-over-ssh/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/articles/ssh-security/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/articles/week-of-unix-tools/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/bdb', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/defcon', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/examples', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/grok', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/linux', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/munin', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/noise', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/projects', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/regex', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/regexp', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/release', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/scale', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/statistics', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/subversion', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/web', NULL, '2026-11-26 00:18:48.323365+00'),
	('/blog/tags/xpathtool', NULL, '2026-11-26 00:18:48.323365+00'),
	('/files/xdotool/docs/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/projects/fex/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/projects/firefox-tabsearch/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/projects/xdotool/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/projects/xpathtool/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/scripts/grok-py-test/', NULL, '2026-11-26 00:18:48.323365+00'),
	('/scripts/noise', NULL, '2026-11-26 00:18:48.323365+00'),
	('/docs', 'Documents – everything', '2026-11-26 00:18:48.559426+00'),
	('/straße/%20"quoted"', 'Größe', '2026-11-26 00:18:48.559426+00'),
	('/late', NULL, '2026-11-26 00:18:48.96015+00'),
	('/', 'Home again', '2026-11-26 00:18:48.323365+00'),
	('/new', NULL, '2026-11-26 00:18:50.377398+00');
INSERT INTO public.report_refreshes OVERRIDING SYSTEM VALUE VALUES
	(1, '2026-11-26 00:18:48.182+00', '2026-11-26 00:18:48.181865+00', '2026-11-26 00:18:48.183712+00', NULL, NULL, NULL, 0, 0, 0, NULL),
	(4, '2026-11-26 00:18:48.837+00', '2026-11-26 00:18:48.813875+00', '2026-11-26 00:18:48.942552+00', NULL, NULL, NULL, 2, 5, 135, NULL),
	(6, '2026-11-26 00:18:49.124+00', '2026-11-26 00:18:49.09382+00', '2026-11-26 00:18:49.293349+00', NULL, NULL, NULL, 3, 1, 11, NULL),
	(7, '2026-11-26 00:18:49.635+00', '2026-11-26 00:18:49.563868+00', '2026-11-26 00:18:49.638814+00', '2026-11-26 00:18:50+00', '2026-11-26 00:18:51+00', NULL, 3, 0, 0, NULL),
	(11, '2026-11-26 00:18:49.635+00', '2026-11-26 00:18:49.563868+00', '2026-11-26 00:18:49.638814+00', '2026-11-26 00:18:50+00', '2026-11-26 00:18:51+00', '2026-11-24', 7, 0, 0, NULL),
	(12, '2026-11-26 00:18:50.061+00', '2026-11-26 00:18:50.004723+00', '2026-11-26 00:18:50.093205+00', '2026-11-26 00:18:51+00', '2026-11-26 00:18:52+00', '2026-11-24', 7, 0, 0, NULL);
INSERT INTO public.seaql_migrations VALUES
	('m20261122_000001_create_tables', 1795652327),
	('m20261124_000002_key_by_time', 1795652327);
INSERT INTO public.stale_hours OVERRIDING SYSTEM VALUE VALUES
	(7, '2026-11-26', 0),
	(8, '2016-05-17', 10);
INSERT INTO public.stale_titles OVERRIDING SYSTEM VALUE VALUES
	(5, '/');
SELECT pg_catalog.setval('public.report_refreshes_id_seq', 12, true);
SELECT pg_catalog.setval('public.stale_hours_id_seq', 8, true);
SELECT pg_catalog.setval('public.stale_titles_id_seq', 5, true);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.kept_days
    ADD CONSTRAINT kept_days_pkey PRIMARY KEY (name, date);
ALTER TABLE ONLY public.page_views
    ADD CONSTRAINT page_views_pkey PRIMARY KEY (date, hour, name);
ALTER TABLE ONLY public.pages
    ADD CONSTRAINT pages_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.report_refreshes
    ADD CONSTRAINT report_refreshes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.seaql_migrations
    ADD CONSTRAINT seaql_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.stale_hours
    ADD CONSTRAINT stale_hours_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.stale_titles
    ADD CONSTRAINT stale_titles_pkey PRIMARY KEY (id);
CREATE INDEX idempotency_keys_to_prune ON public.idempotency_keys USING btree (recorded_at) WHERE (NOT kept);
CREATE INDEX page_views_report_by_name ON public.page_views_report USING btree (grain, name, date);
CREATE UNIQUE INDEX page_views_report_key ON public.page_views_report USING btree (grain, date, hour, name);
CREATE INDEX stale_hours_by_hour ON public.stale_hours USING btree (date, hour);

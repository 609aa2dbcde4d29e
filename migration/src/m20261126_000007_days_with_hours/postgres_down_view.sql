CREATE MATERIALIZED VIEW page_views_report AS
    SELECT grain, name, date, hour, title, views FROM page_views_live;

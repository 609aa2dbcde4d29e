-- Excludes readers of the report, of either kind: by a change that changes nothing.
ALTER TABLE page_views_report RENAME TO page_views_report_before;
ALTER TABLE page_views_report_before RENAME TO page_views_report;

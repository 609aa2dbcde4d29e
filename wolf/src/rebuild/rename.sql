-- Gives the new report, which stands beside the old one, the old one's names.
ALTER TABLE page_views_report_next RENAME TO page_views_report;
ALTER INDEX page_views_report_next_key RENAME TO page_views_report_key;
ALTER INDEX page_views_report_next_of_site RENAME TO page_views_report_of_site;
ALTER INDEX page_views_report_next_top RENAME TO page_views_report_top;

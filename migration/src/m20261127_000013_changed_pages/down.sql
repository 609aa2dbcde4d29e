DROP TABLE report_changes;

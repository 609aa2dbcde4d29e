-- Has the server notice by itself that the client's host is gone, for statements without a time limit: they would hold their
-- locks to their end.
SET LOCAL tcp_keepalives_idle = 5;
SET LOCAL tcp_keepalives_interval = 2;
SET LOCAL tcp_keepalives_count = 3;
SELECT set_config('client_connection_check_interval', '5s', true) WHERE version() LIKE '%linux%'

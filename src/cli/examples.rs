//! The examples at the end of each command's long help.

pub(super) const ANALYTICS: &str = "\
Without a command, `analytics` serves: its flags are those of `analytics serve`.

Examples:
  # everything in one process, on an SQLite file in this folder
  analytics
  # the flags of a command
  analytics serve --help
  # count the page views of access logs, and bring the report up to date
  analytics import access.log access.log.1.gz
  analytics refresh";

pub(super) const SERVE: &str = "\
Examples:
  # everything in one process, on an SQLite file in this folder
  analytics serve
  # on PostgreSQL
  analytics serve --migrate --database-url postgres://me@localhost/stats
  # for other machines, with tokens
  analytics serve --listen 0.0.0.0:8000 --tokens-file tokens
  # browsers may record the views of a site's pages, in which are the lines of `analytics snippet`
  analytics serve --tokens-file tokens --site https://example.org
  # a title for the dashboard
  analytics serve --site-title 'Figures of Example'
  # one service of several processes
  analytics serve --services reports --listen 127.0.0.1:8002
  # a refresh every five minutes; hours are kept for 90 days
  analytics serve --refresh-cron '0 */5 * * * *' --keep-hours 2160";

pub(super) const MIGRATE: &str = "\
Examples:
  # create the tables, or change them after an upgrade
  analytics migrate --database-url postgres://me@localhost/stats
  # with a login for each service
  analytics migrate --roles --role-passwords-file passwords
  # what is applied
  analytics migrate status";

pub(super) const MIGRATE_UP: &str = "\
Examples:
  analytics migrate up --database-url postgres://me@localhost/stats";

pub(super) const MIGRATE_STATUS: &str = "\
Examples:
  analytics migrate status --database-url postgres://me@localhost/stats";

pub(super) const MIGRATE_DOWN: &str = "\
Examples:
  # before the program is replaced by an older one
  analytics migrate down --database-url postgres://me@localhost/stats";

pub(super) const REFRESH: &str = "\
Examples:
  # after an import, without a running server
  analytics refresh
  # the report becomes a table now, not only when it has become slow
  analytics refresh --report-kind table --database-url postgres://me@localhost/stats";

pub(super) const REBUILD: &str = "\
Examples:
  # after `analytics verify` has found differences
  analytics rebuild
  # as a table
  analytics rebuild --as table --database-url postgres://me@localhost/stats";

pub(super) const VERIFY: &str = "\
Exit codes: 0 if the report is right, 1 if it differs, 3 if that could not be found out.

Examples:
  analytics verify
  analytics verify --database-url postgres://me@localhost/stats";

pub(super) const BACKUP: &str = "\
Examples:
  analytics backup backup.db
  analytics backup --database-url sqlite:///var/lib/analytics/analytics.db /backups/analytics.db";

pub(super) const DEMO: &str = "\
The database is in the system's folder for temporary files. It is deleted after Ctrl-C or SIGTERM; if the process is
killed, its folder analytics-demo-* stays there.

Examples:
  # the dashboard at http://127.0.0.1:8000, until Ctrl-C
  analytics demo
  # beside a real server
  analytics demo --listen 127.0.0.1:8001";

pub(super) const EXPORT: &str = "\
The counts are those of the report: as they were at its last refresh, whose time is printed at the end.

Examples:
  # all counts, for a spreadsheet
  analytics export counts.csv
  # those of a year, as JSON Lines
  analytics export --start 2026-01-01 --end 2027-01-01 2026.jsonl
  # those of a part of the site, compressed
  analytics export --prefix /blog/ - | gzip > blog.csv.gz";

pub(super) const IMPORT: &str = "\
Examples:
  # what is new in a log, and rotated logs, plain or compressed
  analytics import /var/log/nginx/access.log /var/log/nginx/access.log.1 /var/log/nginx/access.log.2.gz
  # all logs in a folder, and all that match a pattern
  analytics import /var/log/nginx '/var/log/apache2/*access.log*'
  # from standard input
  ssh web cat /var/log/nginx/access.log.1 | analytics import -
  # in a format by its name
  analytics import --format json /var/log/caddy/access.log
  # while the server writes to it, through every rotation
  analytics import --follow /var/log/nginx/access.log
  # with bots, and with images, styles and scripts
  analytics import --include-bots --include-assets access.log
  # counts that were exported from another database, or by another program
  analytics import --counts counts.csv
  # real counts: those of Wikimedia's projects in an hour
  analytics import --counts pageviews-20260101-130000.gz
  # what would be counted
  analytics import --dry-run access.log
  # lines that were left out when the log was imported, such as those of bots
  analytics import --again --include-bots access.log";

pub(super) const IMPORTS: &str = "\
Examples:
  # those into the database of this folder
  analytics imports
  # take one back
  analytics imports undo 6021834772915548061";

pub(super) const IMPORTS_UNDO: &str = "\
Examples:
  # shows what will be taken back, and asks
  analytics imports undo 6021834772915548061";

pub(super) const PAGES: &str = "\
Examples:
  analytics pages rename /blog/frist /blog/first
  analytics pages remove /users/jane.doe";

pub(super) const PAGES_RENAME: &str = "\
Examples:
  # shows what will be moved, and asks
  analytics pages rename /blog/frist /blog/first
  # a page that has moved: later views of the old address count for the new one
  analytics pages rename /about.html /about --keep-alias
  # in a script
  analytics pages rename /a /b --yes --reason 'moved on Monday'";

pub(super) const PAGES_REMOVE: &str = "\
Examples:
  # shows how many pages and views there are, and asks
  analytics pages remove /users/jane.doe /users/jane.doe/photos
  # all pages whose names begin so
  analytics pages remove --prefix /wp-admin/
  # the pages of a list
  analytics pages remove --names-from spam.txt --yes
  # only their views of a day
  analytics pages remove --contains casino --start 2026-11-20 --end 2026-11-21";

pub(super) const VIEWS: &str = "\
Examples:
  analytics views remove --before 2026-01-01
  analytics views correct /blog/first 2026-11-20T10:00:00Z -12 --reason 'a load test'";

pub(super) const VIEWS_REMOVE: &str = "\
Examples:
  # all that was counted before this year
  analytics views remove --before 2026-01-01
  # an hour of a load test
  analytics views remove --start 2026-11-20T10:00:00Z --end 2026-11-20T11:00:00Z";

pub(super) const VIEWS_CORRECT: &str = "\
Examples:
  # 12 views fewer
  analytics views correct /blog/first 2026-11-20T10:00:00Z -12 --reason 'a load test'
  # 40 more
  analytics views correct /blog/first 2026-11-20T10:00:00Z +40 --reason 'a lost log'";

pub(super) const GROUPS: &str = "\
Examples:
  analytics groups apply groups.toml
  analytics groups list";

pub(super) const GROUPS_APPLY: &str = "\
Examples:
  # groups.toml:
  #   blog = '/blog/**'
  #   product = '/p/*'
  #   docs-en = ['/en/docs/**', '!/en/docs/internal/**']
  analytics groups apply groups.toml
  # only shows how many pages each group has
  analytics groups apply groups.toml --dry-run";

pub(super) const GROUPS_LIST: &str = "\
Examples:
  # those in the database of this folder
  analytics groups list";

pub(super) const JOBS: &str = "\
Examples:
  analytics jobs";

pub(super) const TOKEN: &str = "\
Examples:
  # for a dashboard, which only reads
  analytics token
  # for a server that records page views, by the name of its idempotency keys
  analytics token --scopes increments --client shop
  # for both
  analytics token --scopes increments,reports
  # for a backend that removes pages when it is asked to forget them
  analytics token --scopes manage --client accounts";

pub(super) const SNIPPET: &str = "\
Examples:
  # for the server that `analytics serve --site https://example.org` starts behind this address
  analytics snippet https://stats.example.org";

pub(super) const HEALTHCHECK: &str = "\
Examples:
  # is it ready?
  analytics healthcheck
  # does it live?
  analytics healthcheck --live --listen 127.0.0.1:8002";

pub(super) const SCHEMA: &str = "\
Examples:
  analytics schema > schema.graphql";

pub(super) const COMPLETIONS: &str = "\
Examples:
  # bash, for this user
  analytics completions bash > ~/.local/share/bash-completion/completions/analytics
  # zsh, in a folder of $fpath
  analytics completions zsh > ~/.zfunc/_analytics
  # fish
  analytics completions fish > ~/.config/fish/completions/analytics.fish";

pub(super) const MAN: &str = "\
Examples:
  # read the page of the program
  analytics man | man -l -
  # install the pages of all commands
  analytics man /usr/local/share/man/man1";

//! The statements by which a node of a Citus cluster changes the rows of its own shards. They name the tables of the shards, so that
//! Citus has nothing to plan and to route, which takes it 56 µs for each row.

use chrono::{DateTime, Utc};
use entity::Hour;
use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgArguments, query::Query};

use super::{
    ClaimedKey, Statements, citus,
    citus::{Cluster, Distributed},
    imports::StepResult,
    postgres::columns,
};
use crate::{
    imports::ImportStep,
    increment::{Fingerprint, IdempotencyKey, Title},
    nodes::HashRanges,
};

/// The statement that reads the shards of the node that is connected to.
const READ: &str = include_str!("shards/read.sql");

/// What a transaction on a node begins with, besides. A standby refuses to write. A shard that is being moved without logical
/// replication is waited for this long; then the coordinator commits for the node, so that pages of other shards are recorded.
const BEGIN: &str = "SET TRANSACTION READ WRITE; SET LOCAL lock_timeout = '1s'";

/// The shards of one node, as they were when it was connected to.
#[derive(Debug)]
pub(super) struct Shards {
    ranges: HashRanges,
    /// Begins a transaction, during which the shards stay on the node. Returns one row: whether they are there.
    begin: String,
    /// Claims parts: of each shard come the numbers of the claims and the first pages. Returns those that were not counted yet.
    claim_parts: String,
    /// Inserts pages. `$1` is when they are first seen; of each shard come the names and titles. Returns how many are new.
    insert_pages: String,
    /// Adds views and marks them. `$1` is when; of each shard come the names, dates, hours and views.
    add_views: String,
}

/// A shard of each table: all rows of the pages whose names have certain hashes.
#[derive(Debug)]
struct Shard {
    number: i64,
    first_hash: i32,
    last_hash: i32,
    pages: String,
    page_views: String,
    stale_pages: String,
    counted_parts: String,
}

impl Shards {
    /// Reads which shards the node has.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rows: Vec<(i64, i32, i32, String, String, String, String)> =
            sqlx::query_as(READ).persistent(false).fetch_all(connection).await?;
        let shard = |(number, first_hash, last_hash, pages, page_views, stale_pages, counted_parts)| Shard {
            number,
            first_hash,
            last_hash,
            pages,
            page_views,
            stale_pages,
            counted_parts,
        };
        Ok(Self::of(&rows.into_iter().map(shard).collect::<Vec<_>>()))
    }

    fn of(shards: &[Shard]) -> Self {
        let numbers: Vec<_> = shards.iter().map(|shard| shard.number.to_string()).collect();
        let hold = if shards.is_empty() {
            "SELECT true".to_owned()
        } else {
            format!("SELECT hold_shards(ARRAY[{}]::bigint[])", numbers.join(", "))
        };
        let part = |part: fn(usize, &Shard) -> String| {
            shards.iter().enumerate().map(move |(index, shard)| part(index, shard)).collect::<Vec<_>>()
        };
        let claimed = part(|index, _| format!("SELECT claim, name FROM parts_{index}"));
        let inserted = part(|index, _| format!("(SELECT count(*) FROM pages_{index})"));
        // PostgreSQL executes parts that nothing refers to from the last to the first. So shards are changed in the order in which
        // Citus changes them, and no two transactions each wait for the other.
        let mut added = part(add_to_shard);
        added.reverse();
        Self {
            ranges: HashRanges::new(shards.iter().map(|shard| (shard.first_hash, shard.last_hash))),
            begin: format!("{}; {BEGIN}; {hold}; SET LOCAL lock_timeout = DEFAULT", citus::BEGIN),
            claim_parts: format!("WITH {} {}", part(claim_in_shard).join(",\n"), claimed.join(" UNION ALL ")),
            insert_pages: format!("WITH {} SELECT {}", part(insert_into_shard).join(",\n"), inserted.join(" + ")),
            add_views: format!("WITH {} SELECT", added.join(",\n")),
        }
    }

    /// Begins a transaction. Returns whether the shards are still on the node, where they stay until it ends.
    pub(super) async fn begin(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(self.begin.as_str())).fetch_one(connection).await?.try_get(0)
    }
}

/// The part of a statement that claims parts in a shard.
fn claim_in_shard(index: usize, Shard { counted_parts, .. }: &Shard) -> String {
    let [claim, name] = [1, 2].map(|parameter| 2 * index + parameter);
    format!(
        "parts_{index} AS (
            INSERT INTO {counted_parts} (claim, name)
            SELECT * FROM unnest(${claim}::bigint[], ${name}::text[])
            ON CONFLICT (claim, name) DO NOTHING
            RETURNING claim, name
        )"
    )
}

/// The part of a statement that inserts pages into a shard, in the order of `postgres/insert_pages.sql`.
fn insert_into_shard(index: usize, Shard { pages, .. }: &Shard) -> String {
    let [name, title] = [2, 3].map(|parameter| 2 * index + parameter);
    format!(
        "pages_{index} AS (
            INSERT INTO {pages} (name, title, first_seen_at)
            SELECT name, title, $1 FROM unnest(${name}::text[], ${title}::text[]) AS sent (name, title)
            ON CONFLICT (name) DO NOTHING
            RETURNING 1
        )"
    )
}

/// The part of a statement that adds views to the counts of a shard, in the order of `postgres/add_views.sql`, and marks them.
fn add_to_shard(index: usize, Shard { page_views, stale_pages, .. }: &Shard) -> String {
    let [name, date, hour, views] = [2, 3, 4, 5].map(|parameter| 4 * index + parameter);
    format!(
        "views_{index} AS (
            INSERT INTO {page_views} AS counted (name, date, hour, views, updated_at)
            SELECT name, date, hour, views, $1
            FROM unnest(${name}::text[], ${date}::date[], ${hour}::smallint[], ${views}::bigint[]) AS sent (name, date, hour, views)
            ON CONFLICT (name, date, hour)
            DO UPDATE SET views = counted.views + excluded.views, updated_at = excluded.updated_at
        ),
        marks_{index} AS (
            INSERT INTO {stale_pages} (name, date, hour)
            SELECT * FROM unnest(${name}::text[], ${date}::date[], ${hour}::smallint[])
        )"
    )
}

/// The connection to a node, and its shards. Rows of shards that it does not have are passed on to their nodes by Citus, in two phases.
#[derive(Debug)]
pub(super) struct OnNode<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) shards: &'a Shards,
    /// Whether there were rows that are of no shard which is known here.
    pub(super) has_passed_on: bool,
}

impl OnNode<'_> {
    /// Returns the rows of each shard, and those of no shard that is known here, which are passed on.
    fn divide<'a, T: Copy>(&mut self, rows: &[T], name: impl Fn(&T) -> &'a str) -> (Vec<Vec<T>>, Vec<T>) {
        let ranges = &self.shards.ranges;
        let (mut of_shards, mut others) = (vec![Vec::new(); ranges.len()], Vec::new());
        for row in rows {
            ranges.index_of(name(row)).map_or(&mut others, |shard| &mut of_shards[shard]).push(*row);
        }
        self.has_passed_on |= !others.is_empty();
        (of_shards, others)
    }

    /// The statements for rows that Citus finds the nodes of.
    fn distributed(&mut self) -> Distributed<'_> {
        Distributed { connection: &mut *self.connection, cluster: Cluster::of_worker() }
    }
}

impl Statements for OnNode<'_> {
    async fn claim_keys(
        &mut self,
        keys: &[(&IdempotencyKey, Fingerprint)],
        in_parts: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        self.distributed().claim_keys(keys, in_parts, now).await
    }

    async fn claimed(&mut self, ids: &[(&str, &str)]) -> Result<Vec<ClaimedKey>, sqlx::Error> {
        self.distributed().claimed(ids).await
    }

    async fn claim_parts(&mut self, parts: &[(i64, &str)]) -> Result<Vec<(i64, String)>, sqlx::Error> {
        let (of_shards, others) = self.divide(parts, |(_, name)| name);
        let mut claimed = Vec::new();
        if !of_shards.is_empty() {
            let mut claim = sqlx::query_as(AssertSqlSafe(self.shards.claim_parts.as_str()));
            for parts in &of_shards {
                let (claims, names): (Vec<_>, Vec<_>) = parts.iter().copied().unzip();
                claim = claim.bind(claims).bind(names);
            }
            claimed = claim.fetch_all(&mut *self.connection).await?;
        }
        claimed.extend(self.distributed().claim_parts(&others).await?);
        Ok(claimed)
    }

    async fn insert_pages(&mut self, pages: &[(&str, Option<&Title>)], now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        let (of_shards, others) = self.divide(pages, |(name, _)| name);
        let mut insert = sqlx::query_scalar(AssertSqlSafe(self.shards.insert_pages.as_str())).bind(now);
        for pages in &of_shards {
            insert = insert
                .bind(pages.iter().map(|(name, _)| *name).collect::<Vec<_>>())
                .bind(pages.iter().map(|(_, title)| title.map(Title::as_str)).collect::<Vec<_>>());
        }
        let inserted: i64 = if of_shards.is_empty() { 0 } else { insert.fetch_one(&mut *self.connection).await? };
        let inserted = u64::try_from(inserted).unwrap_or_default();
        Ok(inserted + self.distributed().insert_pages(&others, now).await?)
    }

    async fn write_pages(
        &mut self,
        pages: &[(&str, Option<&Title>)],
        now: DateTime<Utc>,
    ) -> Result<Vec<(String, bool)>, sqlx::Error> {
        self.distributed().write_pages(pages, now).await
    }

    async fn write_first_titles(&mut self, titles: &[(&str, &Title)]) -> Result<Vec<String>, sqlx::Error> {
        self.distributed().write_first_titles(titles).await
    }

    async fn mark_titles(&mut self, names: &[String]) -> Result<(), sqlx::Error> {
        self.distributed().mark_titles(names).await
    }

    async fn add_views(&mut self, counts: &[(&str, Hour, i64)], now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let (of_shards, others) = self.divide(counts, |(name, ..)| name);
        if !of_shards.is_empty() {
            let add = sqlx::query(AssertSqlSafe(self.shards.add_views.as_str())).bind(now);
            of_shards.iter().fold(add, bind_counts).execute(&mut *self.connection).await?;
        }
        self.distributed().add_views(&others, now).await
    }

    async fn take_import_step(&mut self, step: &ImportStep, now: DateTime<Utc>) -> Result<StepResult, sqlx::Error> {
        self.distributed().take_import_step(step, now).await
    }
}

type PgQuery<'q> = Query<'q, sqlx::Postgres, PgArguments>;

fn bind_counts<'q>(query: PgQuery<'q>, counts: &Vec<(&'q str, Hour, i64)>) -> PgQuery<'q> {
    let (dates, hours) = columns(counts.iter().map(|count| count.1));
    query
        .bind(counts.iter().map(|count| count.0).collect::<Vec<_>>())
        .bind(dates)
        .bind(hours)
        .bind(counts.iter().map(|count| count.2).collect::<Vec<_>>())
}

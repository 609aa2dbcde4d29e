//! Statements with bound values, in one text for both databases.

use entity::page_views_report::{RELATION, indexed_by};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use serde_json::json;
use storage::Transaction;

/// A statement that is being written.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) backend: DbBackend,
    /// Whether the report's rows are distributed by name over the nodes of a Citus cluster.
    pub(super) is_distributed: bool,
    values: Vec<Value>,
    /// The common table of the statement, if it has one.
    common: Option<String>,
}

impl Sql {
    /// Returns an empty statement for `db`.
    pub(super) fn new(db: &Transaction) -> Self {
        let (backend, is_distributed) = (db.get_database_backend(), db.is_distributed());
        Self { backend, is_distributed, values: Vec::new(), common: None }
    }

    /// Binds a value. Returns its placeholder.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Binds a list of names. Returns the condition that `column` is one of them.
    pub(super) fn is_one_of(&mut self, column: &str, names: &[String]) -> String {
        match self.backend {
            DbBackend::Postgres => format!("{column} = ANY({})", self.bind(names.to_vec())),
            _ => format!("{column} IN (SELECT value FROM json_each({}))", self.bind(json!(names).to_string())),
        }
    }

    /// Binds ranges of names: the first one, and the one behind the last. Returns them as the table `range`.
    pub(super) fn ranges(&mut self, ranges: Vec<(String, String)>) -> String {
        match self.backend {
            DbBackend::Postgres => {
                let (first, behind): (Vec<_>, Vec<_>) = ranges.into_iter().unzip();
                let (first, behind) = (self.bind(first), self.bind(behind));
                format!("unnest(CAST({first} AS text[]), CAST({behind} AS text[])) AS range (first, behind)")
            }
            _ => {
                let ranges = self.bind(json!(ranges).to_string());
                format!("(SELECT value ->> 0 AS first, value ->> 1 AS behind FROM json_each({ranges})) AS range")
            }
        }
    }

    /// Returns the condition that `column` is in a row of the table of [ranges](Self::ranges).
    pub(super) fn is_in_range(&self, column: &str) -> String {
        let collation = if self.backend == DbBackend::Postgres { " COLLATE \"C\"" } else { "" };
        format!("{column} >= range.first{collation} AND {column} < range.behind{collation}")
    }

    /// Returns the report as `row`, read by `index`.
    pub(super) fn report_by(&self, index: &str, row: &str) -> String {
        format!("{RELATION} AS {row}{}", indexed_by(self.backend, index))
    }

    /// Returns a join of `left` with the rows of `right` that fulfil `condition`, which are looked up by an index for each row
    /// of `left`. `columns` are those of `right` that are selected, as `row`.
    pub(super) fn look_up(&self, left: &str, right: &str, columns: &str, condition: &str) -> String {
        match self.backend {
            // OFFSET keeps the planner from joining in another way.
            DbBackend::Postgres => {
                format!("{left} CROSS JOIN LATERAL (SELECT {columns} FROM {right} WHERE {condition} OFFSET 0) AS row")
            }
            // SQLite keeps to the order of a cross join.
            _ => format!("{left} CROSS JOIN {right} ON {condition}"),
        }
    }

    /// Makes `query` the common table `name` of the statement, unless it has one. It is read once.
    pub(super) fn once(&mut self, name: &str, query: impl FnOnce(&mut Self) -> String) {
        if self.common.is_none() {
            let query = query(self);
            self.common = Some(format!("WITH {name} AS MATERIALIZED ({query}) "));
        }
    }

    pub(super) fn statement(self, text: &str) -> Statement {
        let text = self.common.unwrap_or_default() + text;
        Statement::from_sql_and_values(self.backend, text, self.values)
    }
}

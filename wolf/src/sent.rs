//! Lists of rows that a statement joins: as arrays on PostgreSQL, as one JSON text on SQLite.

use chrono::NaiveDate;
use sea_orm::{DbBackend, Statement, Value};
use serde_json::json;

/// A page's day or month: its first day, and the page's name.
pub(crate) type Bucketed = (NaiveDate, String);

/// Returns the statement `sql`, in which `{sent}` stands for `rows`, as `sent` with the columns `date` and `name`.
pub(crate) fn joined<'a>(backend: DbBackend, sql: &str, rows: impl Iterator<Item = &'a Bucketed>) -> Statement {
    let (sent, values) = match backend {
        DbBackend::Postgres => {
            let (dates, names): (Vec<NaiveDate>, Vec<String>) = rows.cloned().unzip();
            ("unnest($1::date[], $2::text[]) AS sent (date, name)", vec![Value::from(dates), names.into()])
        }
        _ => {
            let rows: Vec<_> = rows.collect();
            let sent = "(SELECT value->>0 AS date, value->>1 AS name FROM json_each(?1)) AS sent";
            (sent, vec![json!(rows).to_string().into()])
        }
    };
    Statement::from_sql_and_values(backend, sql.replace("{sent}", sent), values)
}

//! Lists of values as subqueries. A list is bound as a whole, so that a statement has one text for lists of any length:
//! as arrays on PostgreSQL, whose planner then knows the length, and as one JSON text on SQLite.

use chrono::NaiveDate;
use entity::Hour;
use sea_orm::{
    DbBackend, Value,
    sea_query::{Asterisk, Expr, Func, Query, SelectStatement},
};
use serde_json::json;

/// Returns a query whose rows are the dates of `hours` and their numbers in the day.
pub(crate) fn hours(backend: DbBackend, hours: &[Hour]) -> SelectStatement {
    match backend {
        DbBackend::Postgres => {
            let dates: Vec<NaiveDate> = hours.iter().map(|hour| hour.date()).collect();
            let of_day: Vec<i16> = hours.iter().map(|hour| hour.of_day()).collect();
            let arrays = [Value::from(dates), of_day.into()].map(Expr::val);
            Query::select().column(Asterisk).from_function(Func::cust("unnest").args(arrays), "hours").take()
        }
        _ => {
            let rows: Vec<_> = hours.iter().map(|hour| (hour.date(), hour.of_day())).collect();
            from_json(&json!(rows)).exprs(["value->>0", "value->>1"].map(Expr::cust)).take()
        }
    }
}

/// Returns a query whose rows are dates and pages' names.
pub(crate) fn days<'a>(backend: DbBackend, days: impl Iterator<Item = &'a (NaiveDate, String)>) -> SelectStatement {
    match backend {
        DbBackend::Postgres => {
            let (dates, names): (Vec<NaiveDate>, Vec<String>) = days.cloned().unzip();
            let arrays = [Value::from(dates), names.into()].map(Expr::val);
            Query::select().column(Asterisk).from_function(Func::cust("unnest").args(arrays), "days").take()
        }
        _ => {
            let rows: Vec<_> = days.collect();
            from_json(&json!(rows)).exprs(["value->>0", "value->>1"].map(Expr::cust)).take()
        }
    }
}

/// Returns a query whose rows are dates, hours of the day and pages' names.
pub(crate) fn counts<'a>(backend: DbBackend, counts: impl Iterator<Item = (Hour, &'a str)>) -> SelectStatement {
    let rows = counts.map(|(hour, name)| (hour.date(), hour.of_day(), name.to_owned()));
    match backend {
        DbBackend::Postgres => {
            let (mut dates, mut hours, mut names) = (Vec::new(), Vec::new(), Vec::new());
            for (date, hour, name) in rows {
                dates.push(date);
                hours.push(hour);
                names.push(name);
            }
            let arrays = [Value::from(dates), hours.into(), names.into()].map(Expr::val);
            Query::select().column(Asterisk).from_function(Func::cust("unnest").args(arrays), "counts").take()
        }
        _ => {
            let rows: Vec<_> = rows.collect();
            from_json(&json!(rows)).exprs(["value->>0", "value->>1", "value->>2"].map(Expr::cust)).take()
        }
    }
}

/// Returns a query whose rows are `names`.
pub(crate) fn names(backend: DbBackend, names: Vec<String>) -> SelectStatement {
    match backend {
        DbBackend::Postgres => {
            Query::select().column("name").from_function(Func::cust("unnest").arg(Value::from(names)), "name").take()
        }
        _ => from_json(&json!(names)).column("value").take(),
    }
}

fn from_json(rows: &serde_json::Value) -> SelectStatement {
    Query::select().from_function(Func::cust("json_each").arg(rows.to_string()), "list").take()
}

/// Returns a query whose rows are `dates`.
pub(crate) fn dates(backend: DbBackend, dates: Vec<NaiveDate>) -> SelectStatement {
    match backend {
        DbBackend::Postgres => {
            Query::select().column("date").from_function(Func::cust("unnest").arg(Value::from(dates)), "date").take()
        }
        _ => from_json(&json!(dates)).column("value").take(),
    }
}

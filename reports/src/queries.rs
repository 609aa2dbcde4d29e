//! The statements that read `page_views_report`. They read no other table.

use std::collections::HashMap;

use chrono::NaiveDate;
use entity::{Grain, Hour, page_views_report as report, page_views_report::SITE};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, DeriveIden, EntityTrait, FromQueryResult, Order, QueryFilter,
    QueryOrder, QuerySelect,
    sea_query::{Alias, Expr, ExprTrait, Func, Query, SelectStatement, UnionType},
};

use super::cover::RowRange;

/// The most ranges of one statement: each is planned on its own.
const RANGES_PER_STATEMENT_MAX: usize = 16;

/// The pages of a report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PageFilter {
    /// All pages, the whole site.
    All,
    /// The pages with these names.
    Names(Vec<String>),
    /// The pages whose names begin with this.
    Prefix(String),
    /// The pages whose names contain this.
    Contains(String),
}

/// The position of a page in a list: the list goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageCursor {
    /// Its views.
    pub views: i64,
    /// Its name.
    pub name: String,
}

/// One page's views in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRow {
    /// The page's name.
    pub name: String,
    /// Its title, if one was ever recorded.
    pub title: Option<String>,
    /// Its views.
    pub views: i64,
}

/// The columns of the subquery that reads the rows.
#[derive(Copy, Clone, Debug, DeriveIden)]
enum Column {
    #[sea_orm(iden = "rows")]
    Rows,
    Grain,
    Name,
    Date,
    Hour,
    Views,
}

/// Returns the sum of the views.
pub(super) async fn views<C: ConnectionTrait>(db: &C, ranges: &[RowRange], filter: &PageFilter) -> Result<i64, DbErr> {
    let mut statement = Query::select();
    statement.expr(sum_of_views());
    one_number(db, statement, ranges, &filter.cheapest()).await
}

/// Returns the number of pages that have views.
pub(super) async fn page_count<C: ConnectionTrait>(
    db: &C,
    ranges: &[RowRange],
    filter: &PageFilter,
) -> Result<i64, DbErr> {
    let mut statement = Query::select();
    statement.expr(Func::count_distinct(Expr::col(Column::Name)));
    one_number(db, statement, ranges, &Names::Of(filter)).await
}

async fn one_number<C: ConnectionTrait>(
    db: &C,
    mut statement: SelectStatement,
    ranges: &[RowRange],
    names: &Names<'_>,
) -> Result<i64, DbErr> {
    let Some(rows) = rows(db.get_database_backend(), ranges, names) else { return Ok(0) };
    let row = db.query_one(statement.from_subquery(rows, Column::Rows)).await?;
    row.map_or(Ok(0), |row| Ok(row.try_get_by_index::<Option<i64>>(0)?.unwrap_or(0)))
}

/// Returns the sums of the views by bucket of the report: the first hour of each, and its views.
pub(super) async fn buckets<C: ConnectionTrait>(
    db: &C,
    ranges: &[RowRange],
    filter: &PageFilter,
) -> Result<Vec<(Hour, i64)>, DbErr> {
    let mut buckets = Vec::new();
    for ranges in ranges.chunks(RANGES_PER_STATEMENT_MAX) {
        let Some(rows) = rows(db.get_database_backend(), ranges, &filter.cheapest()) else { continue };
        let mut statement = Query::select();
        statement
            .columns([Column::Date, Column::Hour])
            .expr(sum_of_views())
            .from_subquery(rows, Column::Rows)
            .group_by_columns([Column::Grain, Column::Date, Column::Hour]);
        for row in db.query_all(&statement).await? {
            let date: NaiveDate = row.try_get_by_index(0)?;
            buckets.push((Hour::new(date, row.try_get_by_index(1)?), row.try_get_by_index(2)?));
        }
    }
    Ok(buckets)
}

/// Returns the pages by descending views, equal ones by name: at most `limit` of those behind `after`.
pub(super) async fn pages<C: ConnectionTrait>(
    db: &C,
    ranges: &[RowRange],
    filter: &PageFilter,
    after: Option<&PageCursor>,
    limit: u64,
) -> Result<Vec<PageRow>, DbErr> {
    let Some(rows) = rows(db.get_database_backend(), ranges, &Names::Of(filter)) else { return Ok(Vec::new()) };
    let mut statement = Query::select();
    statement
        .column(Column::Name)
        .expr_as(sum_of_views(), Column::Views)
        .from_subquery(rows, Column::Rows)
        .group_by_col(Column::Name)
        .order_by_expr(sum_of_views(), Order::Desc)
        .order_by(Column::Name, Order::Asc)
        .limit(limit);
    if let Some(after) = after {
        let fewer = sum_of_views().lt(after.views);
        let equal_behind = sum_of_views().eq(after.views).and(Expr::col(Column::Name).gt(after.name.as_str()));
        statement.and_having(fewer.or(equal_behind));
    }
    #[derive(FromQueryResult)]
    struct Row {
        name: String,
        views: i64,
    }
    let found = Row::find_by_statement(db.get_database_backend().build(&statement)).all(db).await?;
    let mut titles = titles(db, found.iter().map(|row| row.name.as_str())).await?;
    let row = |row: Row| PageRow { title: titles.remove(&row.name), name: row.name, views: row.views };
    Ok(found.into_iter().map(row).collect())
}

/// Returns the titles by page. They are columns of month rows, the same in all rows of a page.
async fn titles<C: ConnectionTrait>(
    db: &C,
    names: impl Iterator<Item = &str>,
) -> Result<HashMap<String, String>, DbErr> {
    let titles: Vec<(String, String)> = report::Entity::find()
        .select_only()
        .column(report::Column::Name)
        .column_as(report::Column::Title.max(), "title")
        .filter(report::Column::Grain.eq(Grain::Month))
        .filter(report::Column::Name.is_in(names))
        .filter(report::Column::Title.is_not_null())
        .group_by(report::Column::Name)
        .into_tuple()
        .all(db)
        .await?;
    Ok(titles.into_iter().collect())
}

/// Returns the first counted hour, or the start of the first counted day if its hours were deleted.
pub(super) async fn first_hour<C: ConnectionTrait>(db: &C) -> Result<Option<Hour>, DbErr> {
    let first = async |grain: Grain| {
        let first = report::Entity::find()
            .filter(report::Column::Grain.eq(grain))
            .filter(report::Column::Name.eq(SITE))
            .order_by_asc(report::Column::Date)
            .order_by_asc(report::Column::Hour);
        Ok::<_, DbErr>(first.one(db).await?.map(|row| Hour::new(row.date, row.hour)))
    };
    let (hour, day) = (first(Grain::Hour).await?, first(Grain::Day).await?);
    // Days whose hours were deleted have a day row only.
    Ok(hour.filter(|hour| day.is_none_or(|day| day >= hour.day_start())).or(day))
}

/// The names whose rows are read.
enum Names<'a> {
    /// The site's empty name.
    Site,
    /// Names of pages.
    Of(&'a PageFilter),
}

impl PageFilter {
    /// Returns the names with the fewest rows that have the same sums.
    fn cheapest(&self) -> Names<'_> {
        if *self == Self::All { Names::Site } else { Names::Of(self) }
    }
}

/// Builds the query of all rows in `ranges`. Returns `None` if there are no ranges.
fn rows(backend: DbBackend, ranges: &[RowRange], names: &Names<'_>) -> Option<SelectStatement> {
    let mut selects = ranges.iter().map(|range| rows_of_range(backend, *range, names));
    let mut all = selects.next()?;
    for select in selects {
        all.union(UnionType::All, select);
    }
    Some(all)
}

fn rows_of_range(backend: DbBackend, range: RowRange, names: &Names<'_>) -> SelectStatement {
    let begins = || Expr::tuple([Expr::col(report::Column::Date), Expr::col(report::Column::Hour)]);
    let at = |hour: Hour| Expr::tuple([Expr::val(hour.date()), Expr::val(hour.of_day())]);
    let mut select = Query::select();
    select
        .expr_as(Expr::col(report::Column::Grain), Column::Grain)
        .expr_as(Expr::col(report::Column::Name), Column::Name)
        .expr_as(Expr::col(report::Column::Date), Column::Date)
        .expr_as(Expr::col(report::Column::Hour), Column::Hour)
        .expr_as(Expr::col(report::Column::Views), Column::Views)
        .from(report::Entity)
        .and_where(Expr::col(report::Column::Grain).eq(range.grain.as_str()))
        .and_where(begins().gte(at(range.start)))
        .and_where(begins().lt(at(range.end)));
    let name = || Expr::col(report::Column::Name);
    match names {
        Names::Site => select.and_where(name().eq(SITE)),
        // Not "greater", by which SQLite would search the index of names instead of the few hours.
        Names::Of(PageFilter::All) => select.and_where(name().ne(SITE)),
        Names::Of(PageFilter::Names(names)) => select.and_where(name().is_in(names)).and_where(name().gt(SITE)),
        Names::Of(PageFilter::Prefix(prefix)) => {
            select.and_where(name().gt(SITE)).and_where(name().gte(prefix.as_str()));
            if let Some(end) = after_prefix(prefix) {
                select.and_where(name().lt(end));
            }
            &mut select
        }
        Names::Of(PageFilter::Contains(part)) => {
            let position = Alias::new(if backend == DbBackend::Postgres { "strpos" } else { "instr" });
            let position = Func::cust(position).arg(name()).arg(part.as_str());
            select.and_where(name().ne(SITE)).and_where(Expr::expr(position).gt(0))
        }
    };
    select
}

/// Returns the least name that is greater than every name that begins with `prefix`, if there is one. Names are compared
/// by their bytes, which orders UTF-8 as its code points.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The code points from D800 to DFFF are surrogates, not characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// The sum as an integer on both databases: PostgreSQL sums bigint to numeric.
fn sum_of_views() -> Expr {
    Func::cast_as(Expr::col(Column::Views).sum(), Alias::new("bigint")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends_before_the_next_name() {
        assert_eq!(after_prefix("/a").as_deref(), Some("/b"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_prefix(""), None);
    }
}

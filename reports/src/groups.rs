//! Declared groups of pages, as the report has them: their sums in rows of their own, the groups of each page, and whether the sums
//! are complete.

use entity::{
    Grain,
    page_views_report::{self as report, PAGE_DATE},
};
use sea_orm::{ColumnTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use storage::Transaction;

use super::{error::ReportError, sql::Sql};

/// A declared group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Why the report does not have its sums; `None` if it has.
    pub incomplete: Option<String>,
}

impl Group {
    /// The memory that it takes, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.capacity() + self.incomplete.as_ref().map_or(0, String::capacity)
    }
}

/// Returns all groups by name.
pub(super) async fn groups(db: &Transaction) -> Result<Vec<Group>, DbErr> {
    let rows: Vec<(String, Option<String>)> = report::Entity::find()
        .select_only()
        .columns([report::Column::Name, report::Column::Title])
        .filter(report::Column::Grain.eq(Grain::Group))
        .filter(report::Column::Date.eq(PAGE_DATE))
        .order_by_asc(report::Column::Name)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(name, incomplete)| Group { name, incomplete }).collect())
}

/// Errs unless all of `names` are groups whose sums the report has.
pub(super) async fn check(db: &Transaction, names: Vec<&str>) -> Result<(), ReportError> {
    if names.is_empty() {
        return Ok(());
    }
    let groups = groups(db).await?;
    for name in names {
        let group = groups.iter().find(|group| group.name == name);
        let group = group.ok_or_else(|| ReportError::UnknownGroup(name.to_owned()))?;
        if let Some(reason) = &group.incomplete {
            return Err(ReportError::IncompleteGroup { group: name.to_owned(), reason: reason.clone() });
        }
    }
    Ok(())
}

/// Returns the groups of the page `name`.
pub(super) async fn groups_of(db: &Transaction, name: &str) -> Result<Vec<String>, DbErr> {
    let row: Option<Option<String>> = report::Entity::find()
        .select_only()
        .column(report::Column::Title)
        .filter(report::Column::Grain.eq(Grain::Member))
        .filter(report::Column::Date.eq(PAGE_DATE))
        .filter(report::Column::Name.eq(name))
        .into_tuple()
        .one(db)
        .await?;
    let groups = row.flatten().unwrap_or_else(|| "[]".to_owned());
    serde_json::from_str(&groups).map_err(|error| DbErr::Json(error.to_string()))
}

/// Returns the condition that the page of the row `row` is in `group`. The statement finds the pages of the group once. No
/// group's name needs to be escaped.
pub(super) fn has_page_of(sql: &mut Sql, row: &str, group: &str) -> String {
    let position = if sql.backend == DbBackend::Postgres { "strpos" } else { "instr" };
    let (date, name) = (sql.bind(PAGE_DATE), sql.bind(format!("\"{group}\"")));
    format!(
        "{row}.name IN (SELECT member.name FROM page_views_report AS member WHERE member.grain = 'member' \
         AND member.date = {date} AND {position}(member.title, {name}) > 0)"
    )
}

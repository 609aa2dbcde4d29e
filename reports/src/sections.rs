//! Sections: the pages whose names begin alike, up to the next slash, as files are in folders.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use storage::Transaction;

use super::{
    page_filter::{Names, PageFilter},
    queries::{PageCursor, numbers_of, titles},
    rows::{Part, rows},
    sql::Sql,
};

/// The views of the pages whose names begin with the same part, which ends with a slash, or of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionRow {
    /// What the names begin with, or the page's name.
    pub name: String,
    /// Whether it is a page.
    pub is_page: bool,
    /// The page's title, if it is a page and one was ever recorded.
    pub title: Option<String>,
    /// The sum of the views.
    pub views: i64,
    /// The number of pages that have views.
    pub pages: i64,
}

impl SectionRow {
    /// The memory that it takes, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.capacity() + self.title.as_ref().map_or(0, String::capacity)
    }
}

/// Returns the sections below `prefix`, the most viewed first and equal ones by name: at most `limit` of those behind `after`.
pub(super) async fn sections(
    db: &Transaction,
    parts: &[Part],
    filter: &PageFilter,
    prefix: &str,
    after: Option<&PageCursor>,
    limit: u64,
) -> Result<Vec<SectionRow>, DbErr> {
    if parts.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(db);
    let pages = pages_in_sections(&mut sql, parts, filter, prefix);
    let behind = after.map_or_else(String::new, |after| {
        let [views, name] = [sql.bind(after.rank), sql.bind(after.name.as_str())];
        format!("HAVING sum(views) < {views} OR (sum(views) = {views} AND section > {name})")
    });
    let limit = sql.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let list = format!(
        "SELECT section, CAST(sum(views) AS bigint), count(*) FROM ({pages}) AS pages GROUP BY section {behind} \
         ORDER BY 2 DESC, section LIMIT {limit}"
    );
    let rows = db.query_all_raw(sql.statement(&list)).await?;
    let mut sections = Vec::with_capacity(rows.len());
    for row in &rows {
        let name: String = row.try_get_by_index(0)?;
        let (is_page, views, pages) = (is_page(&name, prefix), row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        sections.push(SectionRow { name, is_page, title: None, views, pages });
    }
    let of_pages = sections.iter().filter(|section| section.is_page).map(|section| section.name.as_str());
    let mut titles = titles(db, of_pages).await?;
    for section in &mut sections {
        section.title = if section.is_page { titles.remove(&section.name) } else { None };
    }
    Ok(sections)
}

/// Returns the views of each of the sections `names` below `prefix`, in their order.
pub(super) async fn views(
    db: &Transaction,
    parts: &[Part],
    filter: &PageFilter,
    prefix: &str,
    names: &[String],
) -> Result<Vec<i64>, DbErr> {
    if parts.is_empty() || names.is_empty() {
        return Ok(vec![0; names.len()]);
    }
    let mut sql = Sql::new(db);
    let pages = pages_in_sections(&mut sql, parts, filter, prefix);
    let condition = sql.is_one_of("section", names);
    let sums = format!(
        "SELECT section, CAST(sum(views) AS bigint) FROM ({pages}) AS pages WHERE {condition} GROUP BY section"
    );
    numbers_of(db, sql.statement(&sums), names).await
}

/// Returns whether the section `name` below `prefix` is a page. Both a page and a section may end with a slash, but the
/// section has something behind the prefix, and more than a slash at the very beginning.
fn is_page(name: &str, prefix: &str) -> bool {
    !name.ends_with('/') || name == prefix || name == "/"
}

/// Returns the query of the pages of `filter` whose names begin with `prefix`: `section` and `views`.
fn pages_in_sections(sql: &mut Sql, parts: &[Part], filter: &PageFilter, prefix: &str) -> String {
    // A slash at the very beginning of a name belongs to its first part.
    let behind = prefix.chars().count().max(1);
    let below = PageFilter::Prefix(prefix.to_owned());
    // Nearly all names begin with a slash: looking them up takes longer than reading all.
    let (rows, condition) = match filter {
        PageFilter::All if behind > 1 => (rows(sql, parts, Names::Of(&below)), None),
        _ => (rows(sql, parts, Names::Of(filter)), below.condition(sql, "page").filter(|_| !prefix.is_empty())),
    };
    let condition = condition.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    let find = if sql.backend == DbBackend::Postgres { "strpos" } else { "instr" };
    let slash = format!("{find}(substr(name, {}), '/')", behind + 1);
    format!(
        "SELECT CASE {slash} WHEN 0 THEN name ELSE substr(name, 1, {behind} + {slash}) END AS section, views FROM \
         (SELECT name, sum(views) AS views FROM ({rows}) AS page{condition} GROUP BY name) AS page"
    )
}

#[cfg(test)]
mod tests {
    use super::is_page;

    #[test]
    fn page_is_told_from_a_section() {
        for (name, prefix, expected) in [
            ("/a", "", true),
            ("/a/", "", false),
            ("/", "", true),
            ("/", "/", true),
            ("/a/", "/a/", true),
            ("/a/b", "/a/", true),
            ("/a/b/", "/a/", false),
            ("example.org/", "", false),
        ] {
            assert_eq!(is_page(name, prefix), expected, "{name} below {prefix:?}");
        }
    }
}

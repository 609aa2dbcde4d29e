//! Lists of the most viewed pages, by proof where that is possible.
//!
//! The Wolf flags the most viewed rows of every day and month, and the site's row of each bucket says from how many views
//! on (`top_views`). So what the flagged rows of a range's buckets say of a page is the least that it can have, and the most
//! is that plus `top_views - 1` for each bucket in which it has no flag. The exact views of the candidates with the greatest
//! upper bounds are looked up; if the last page of the list has more views than any other page can have, the list is proved.
//! This is a threshold algorithm after Fagin, Lotem and Naor, "Optimal aggregation algorithms for middleware" (2001). Where
//! it proves nothing, the rows of the range are summed.

use entity::page_views_report::TOP_INDEX;
use sea_orm::{ConnectionTrait, DbErr};
use storage::Transaction;

use super::{
    page_filter::{Names, PageFilter},
    period::Compared,
    queries::{PageCursor, PageRow, titles},
    rows::{Part, rows},
    sql::Sql,
    ways::{self, Way},
};

/// How many more candidates than pages of the list are looked up at first.
const CANDIDATES_MORE: u64 = 32;
/// The most candidates that are looked up.
const CANDIDATES_MAX: u64 = 2_000;

/// The order of a list of pages. Equal pages are ordered by name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum PageOrder {
    /// The most viewed first.
    Views,
    /// Those first whose views changed by most, up or down, between the two parts that are compared. Pages that were viewed only
    /// in the other interval are listed too. Without a comparison no page has changed.
    Change(Option<Compared>),
    /// By name.
    Name,
}

/// A page and its exact views.
type Listed = (String, i64);

/// What a list is of: at most `limit` of the pages of `filter` that come behind `after`, in `parts`.
#[derive(Copy, Clone, Debug)]
pub(super) struct List<'a> {
    pub(super) parts: &'a [Part],
    pub(super) filter: &'a PageFilter,
    pub(super) after: Option<&'a PageCursor>,
    pub(super) limit: u64,
}

impl List<'_> {
    /// Returns the pages in `order`. `compared` are the parts of the interval and of the other one that are compared.
    pub(super) async fn pages(
        self,
        db: &Transaction,
        order: PageOrder,
        compared: Option<[Vec<Part>; 2]>,
    ) -> Result<Vec<PageRow>, DbErr> {
        let Self { parts, filter, after, limit } = self;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let ranked = |(name, views): Listed| (name, views, views);
        let (way, listed) = match order {
            PageOrder::Change(_) => (Way::Scan, self.by_change(db, compared.unwrap_or_default()).await?),
            _ if parts.is_empty() => return Ok(Vec::new()),
            PageOrder::Name => {
                let listed = self.by_name(db).await?;
                (Way::Scan, listed.into_iter().map(|(name, views)| (name, views, 0)).collect())
            }
            PageOrder::Views => match prove(db, parts, filter, after, limit).await? {
                Some(listed) => (Way::Proof, listed.into_iter().map(ranked).collect()),
                None => {
                    let listed = scan(db, parts, filter, after, limit).await?;
                    (Way::Scan, listed.into_iter().map(ranked).collect())
                }
            },
        };
        ways::count_list(way);
        let listed: Vec<(String, i64, i64)> = listed;
        let mut titles = titles(db, listed.iter().map(|(name, ..)| name.as_str())).await?;
        let row = |(name, views, rank)| PageRow { title: titles.remove(&name), name, views, rank };
        Ok(listed.into_iter().map(row).collect())
    }

    async fn by_name(self, db: &Transaction) -> Result<Vec<Listed>, DbErr> {
        let mut sql = Sql::new(db);
        let rows = rows(&mut sql, self.parts, Names::Of(self.filter));
        let behind =
            self.after.map_or_else(String::new, |after| format!("WHERE name > {}", sql.bind(after.name.as_str())));
        let limit = sql.bind(i64::try_from(self.limit).unwrap_or(i64::MAX));
        let list = format!(
            "SELECT name, CAST(sum(views) AS bigint) FROM ({rows}) AS rows {behind} GROUP BY name ORDER BY name LIMIT {limit}"
        );
        let rows = db.query_all_raw(sql.statement(&list)).await?;
        rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
    }

    /// Returns the pages with their views and by how much these changed.
    async fn by_change(self, db: &Transaction, compared: [Vec<Part>; 2]) -> Result<Vec<(String, i64, i64)>, DbErr> {
        let mut sql = Sql::new(db);
        let mut sums = Vec::new();
        let [part, other] = &compared;
        for (parts, columns) in [
            (self.parts, "views, 0 AS compared, 0 AS previous"),
            (part, "0 AS views, views AS compared, 0 AS previous"),
            (other, "0 AS views, 0 AS compared, views AS previous"),
        ] {
            if !parts.is_empty() {
                let rows = rows(&mut sql, parts, Names::Of(self.filter));
                sums.push(format!("SELECT name, {columns} FROM ({rows}) AS rows"));
            }
        }
        if sums.is_empty() {
            return Ok(Vec::new());
        }
        let behind = self.after.map_or_else(String::new, |after| {
            let [rank, name] = [sql.bind(after.rank), sql.bind(after.name.as_str())];
            format!("WHERE change < {rank} OR (change = {rank} AND name > {name})")
        });
        let limit = sql.bind(i64::try_from(self.limit).unwrap_or(i64::MAX));
        let list = include_str!("page_list/by_change.sql")
            .replace("{sums}", &sums.join(" UNION ALL "))
            .replace("{behind}", &behind)
            .replace("{limit}", &limit);
        let rows = db.query_all_raw(sql.statement(&list)).await?;
        rows.iter()
            .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?)))
            .collect()
    }
}

/// Returns the list if it can be proved.
async fn prove(
    db: &Transaction,
    parts: &[Part],
    filter: &PageFilter,
    after: Option<&PageCursor>,
    limit: u64,
) -> Result<Option<Vec<Listed>>, DbErr> {
    // The rows of single pages are looked up at once. On a Citus cluster the nodes scan their rows side by side.
    if matches!(filter, PageFilter::Names(_)) || db.is_distributed() {
        return Ok(None);
    }
    for candidates in [limit.saturating_add(CANDIDATES_MORE), CANDIDATES_MAX] {
        if candidates > CANDIDATES_MAX {
            return Ok(None);
        }
        let Some(found) = Candidates::look_up(db, parts, filter, after, candidates).await? else { return Ok(None) };
        match found.list(after, limit) {
            Proof::Proved(listed) => return Ok(Some(listed)),
            Proof::Impossible => return Ok(None),
            Proof::MoreCandidates => {}
        }
    }
    Ok(None)
}

/// The candidates of a list, with their exact views, and what all other pages have at most.
struct Candidates {
    pages: Vec<Listed>,
    /// The most views of a page without a flag.
    unflagged_max: i64,
    /// The most views of a page that has a flag and is no candidate.
    others_max: i64,
}

enum Proof {
    Proved(Vec<Listed>),
    /// With more candidates the list may be proved.
    MoreCandidates,
    Impossible,
}

impl Candidates {
    /// Looks up the candidates with the greatest upper bounds, at most `number`. Returns `None` if there is a bucket whose rows
    /// are not flagged.
    async fn look_up(
        db: &Transaction,
        parts: &[Part],
        filter: &PageFilter,
        after: Option<&PageCursor>,
        number: u64,
    ) -> Result<Option<Self>, DbErr> {
        let mut sql = Sql::new(db);
        let text = candidates_sql(&mut sql, parts, filter, after, number);
        let rows = db.query_all_raw(sql.statement(&text)).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let Some(unflagged_max) = first.try_get_by_index::<Option<i64>>(0)? else { return Ok(None) };
        let mut found = Self { pages: Vec::new(), unflagged_max, others_max: 0 };
        for (row, index) in rows.iter().zip(0..) {
            let Some(name) = row.try_get_by_index::<Option<String>>(1)? else { continue };
            if index < number {
                found.pages.push((name, row.try_get_by_index(3)?));
            } else {
                found.others_max = unflagged_max + row.try_get_by_index::<i64>(2)?;
            }
        }
        Ok(Some(found))
    }

    /// Returns the list of at most `limit` pages behind `after`, if it is proved.
    fn list(self, after: Option<&PageCursor>, limit: u64) -> Proof {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut listed: Vec<_> = self.pages.into_iter().filter(|page| is_behind(page, after)).collect();
        listed.sort_unstable_by(|(name, views), (other, more)| more.cmp(views).then_with(|| name.cmp(other)));
        listed.truncate(limit);
        // A page with as many views as the last one might precede it by its name.
        let last = if listed.len() == limit { listed.last().map_or(1, |(_, views)| *views) } else { 1 };
        match (last > self.unflagged_max, last > self.others_max) {
            (true, true) => Proof::Proved(listed),
            (true, false) => Proof::MoreCandidates,
            // Exact views are not below the bounds that they were chosen by, so more of them do not raise the last one.
            (false, _) => Proof::Impossible,
        }
    }
}

/// Returns whether the page has views and comes behind `after`.
fn is_behind((name, views): &Listed, after: Option<&PageCursor>) -> bool {
    *views > 0 && after.is_none_or(|after| *views < after.rank || (*views == after.rank && *name > after.name))
}

/// Returns the query of the candidates, which has one row more than `number`, and at least one.
fn candidates_sql(
    sql: &mut Sql,
    parts: &[Part],
    filter: &PageFilter,
    after: Option<&PageCursor>,
    number: u64,
) -> String {
    let (mut buckets, mut flagged, mut exact) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        let grain = part.grain();
        let condition = filter.condition(sql, "row").map_or_else(String::new, |condition| format!(" AND {condition}"));
        let site_rows = || format!("(SELECT * FROM part_{}) AS site", buckets.len());
        let top = format!("row.grain = '{grain}' AND row.date = site.date AND row.top{condition}");
        let top = sql.look_up(&site_rows(), &sql.report_by(TOP_INDEX, "row"), "*", &top);
        flagged.push(format!("SELECT row.name, {} AS views, site.top_views FROM {top}", part.views("row")));
        let same = format!("row.grain = '{grain}' AND row.date = site.date AND row.name = candidate.name");
        let same = sql.look_up(&site_rows(), "page_views_report AS row", "*", &same);
        exact.push(format!("coalesce((SELECT CAST(sum({}) AS bigint) FROM {same}), 0)", part.views("row")));
        buckets.push(part.site_rows(sql));
    }
    let of_parts: String =
        buckets.iter().enumerate().map(|(index, rows)| format!("part_{index} AS MATERIALIZED ({rows}), ")).collect();
    let all_buckets = (0..buckets.len())
        .map(|index| format!("SELECT top_views FROM part_{index}"))
        .collect::<Vec<_>>()
        .join(" UNION ALL ");
    // Pages with more flagged views come before the cursor in any case.
    let behind = after.map_or_else(String::new, |after| format!("HAVING sum(views) <= {}", sql.bind(after.rank)));
    let limit = sql.bind(i64::try_from(number).unwrap_or(i64::MAX).saturating_add(1));
    include_str!("page_list/candidates.sql")
        .replace("{parts}", &of_parts)
        .replace("{buckets}", &all_buckets)
        .replace("{flagged}", &flagged.join(" UNION ALL "))
        .replace("{behind}", &behind)
        .replace("{limit}", &limit)
        .replace("{exact}", &exact.join(" + "))
}

/// Sums all rows of the parts.
async fn scan(
    db: &Transaction,
    parts: &[Part],
    filter: &PageFilter,
    after: Option<&PageCursor>,
    limit: u64,
) -> Result<Vec<Listed>, DbErr> {
    let mut sql = Sql::new(db);
    let rows = rows(&mut sql, parts, Names::Of(filter));
    let behind = after.map_or_else(String::new, |after| {
        let [views, name] = [sql.bind(after.rank), sql.bind(after.name.as_str())];
        format!("HAVING sum(views) < {views} OR (sum(views) = {views} AND name > {name})")
    });
    let limit = sql.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let list = format!(
        "SELECT name, CAST(sum(views) AS bigint) FROM ({rows}) AS rows GROUP BY name {behind} \
         ORDER BY 2 DESC, name LIMIT {limit}"
    );
    let rows = db.query_all_raw(sql.statement(&list)).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

//! The flags of the most viewed rows of each day and month.
//!
//! Wherever the site's row of a bucket knows `top_views`, every page's row of the bucket with at least so many views has the
//! flag `top`. A list of the most viewed pages of a range reads the flagged rows and proves that no other page belongs to it.
//! Rows with fewer views may have the flag too: what is proved does not depend on that.
//!
//! Flags are few, and seldom change: a bucket with more than twice [`TopPages::rows_min`] of them is cut back to that
//! number. The number falls below it only where many rows have equally many views.

use std::collections::{BTreeMap, BTreeSet};

use entity::page_views_report::{RELATION, SITE_INDEX, TOP_INDEX, indexed_by};
use sea_orm::{ConnectionTrait, DbErr, Statement, Value};
use storage::Transaction;

use crate::site_rows::{Bucket, SiteRow};

/// The number of rows that a bucket's flags are cut back to, by default.
pub(crate) const ROWS_MIN: usize = 200;
/// The condition of a bucket's rows.
const BUCKET: &str = "grain = $1 AND date = $2";

/// How many rows of a bucket are flagged.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopPages {
    rows_min: usize,
}

impl TopPages {
    /// Flags between `rows_min` and twice as many rows of each bucket.
    pub(crate) fn new(rows_min: usize) -> Self {
        Self { rows_min: rows_min.max(1) }
    }

    /// The number of flags of a bucket above which they are cut back.
    pub(crate) fn rows_max(self) -> usize {
        self.rows_min * 2
    }

    /// Returns the least number of views by which at most `rows_max` of rows are flagged, and at least `rows_min` if ties
    /// allow it. `views` are the most views of the rows, in descending order, one more than `rows_max` if there are.
    fn threshold(self, views: &[i64]) -> i64 {
        match (views.get(self.rows_min - 1), views.get(self.rows_max())) {
            (Some(least), Some(next)) if next == least => least + 1,
            (Some(least), Some(_)) => *least,
            _ => 1,
        }
    }

    /// Raises `top_views` before rows grow by `views`, so that an addition of many rows does not flag most of them only to
    /// take the flags away again. A row has at least the views that it grows by.
    pub(crate) fn raise<I: Iterator<Item = i64>>(self, top_views: &mut Option<i64>, views: impl Fn() -> I) {
        let Some(top_views) = top_views else { return };
        let mut most: Vec<i64> = views().filter(|views| views >= top_views).collect();
        if most.len() > self.rows_max() {
            let (_, _, _) = most.select_nth_unstable_by(self.rows_max(), |a, b| b.cmp(a));
            most.truncate(self.rows_max() + 1);
            most.sort_unstable_by(|a, b| b.cmp(a));
            *top_views = self.threshold(&most).max(*top_views);
        }
    }

    /// Cuts the flags back where there are too many. Returns what the site's rows have to tell then.
    pub(crate) async fn limit_flags(
        self,
        transaction: &Transaction,
        mut site_rows: BTreeMap<Bucket, SiteRow>,
    ) -> Result<BTreeMap<Bucket, SiteRow>, DbErr> {
        for (bucket, site_row) in &mut site_rows {
            let Some(top_views) = &mut site_row.top_views else { continue };
            let rows = Rows { relation: RELATION, bucket: *bucket, transaction };
            let most = rows.most_views(Some(TOP_INDEX), "top", self.rows_max() + 1).await?;
            if most.len() > self.rows_max() {
                *top_views = self.threshold(&most).max(*top_views);
                rows.unflag(*top_views).await?;
            }
        }
        Ok(site_rows)
    }

    /// Takes back from how many views on the rows of `buckets` are flagged, where too few are left: lists read all rows there
    /// until they are flagged anew.
    pub(crate) async fn unpublish_few(self, transaction: &Transaction, buckets: BTreeSet<Bucket>) -> Result<(), DbErr> {
        for bucket in buckets {
            let rows = Rows { relation: RELATION, bucket, transaction };
            let flagged = rows.most_views(Some(TOP_INDEX), "top", self.rows_min).await?.len();
            if flagged < self.rows_min {
                let flagged = i64::try_from(flagged).unwrap_or(i64::MAX);
                rows.execute("SET top_views = NULL WHERE {bucket} AND name = '' AND pages > $3", flagged).await?;
            }
        }
        Ok(())
    }

    /// Flags the rows of all buckets of `relation`, which has the columns of the report, that have no flags yet.
    pub(crate) async fn flag_all(self, transaction: &Transaction, relation: &'static str) -> Result<(), DbErr> {
        while let Some(bucket) = unflagged_bucket(transaction, relation).await? {
            self.flag(transaction, relation, bucket).await?;
        }
        Ok(())
    }

    /// Flags the rows of a bucket anew, and publishes from how many views on. Reads all rows of the bucket.
    pub(crate) async fn flag(
        self,
        transaction: &Transaction,
        relation: &'static str,
        bucket: Bucket,
    ) -> Result<(), DbErr> {
        let rows = Rows { relation, bucket, transaction };
        let top_views = self.threshold(&rows.most_views(None, "name <> ''", self.rows_max() + 1).await?);
        rows.unflag(top_views).await?;
        rows.execute("SET top = true WHERE {bucket} AND name <> '' AND views >= $3 AND top IS NULL", top_views).await?;
        rows.execute("SET top_views = $3 WHERE {bucket} AND name = ''", top_views).await
    }
}

/// Returns the newest bucket of `relation` whose site's row does not know from how many views on rows are flagged.
pub(crate) async fn unflagged_bucket<C: ConnectionTrait>(db: &C, relation: &str) -> Result<Option<Bucket>, DbErr> {
    let backend = db.get_database_backend();
    let sql = format!(
        "SELECT grain, date FROM {relation}{} WHERE name = '' AND grain IN ('day', 'month') AND top_views IS NULL
         ORDER BY date DESC LIMIT 1",
        indexed_by(backend, SITE_INDEX)
    );
    let row = db.query_one_raw(Statement::from_string(backend, sql)).await?;
    row.map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).transpose()
}

/// The rows of a bucket of `relation`.
struct Rows<'a> {
    relation: &'static str,
    bucket: Bucket,
    transaction: &'a Transaction,
}

impl Rows<'_> {
    /// Returns the most views of the rows that fulfil `condition`, in descending order, at most `limit`.
    async fn most_views(&self, index: Option<&str>, condition: &str, limit: usize) -> Result<Vec<i64>, DbErr> {
        let index = index.map_or_else(String::new, |index| indexed_by(self.transaction.get_database_backend(), index));
        let sql = format!(
            "SELECT views FROM {}{index} WHERE {BUCKET} AND {condition} ORDER BY views DESC LIMIT {limit}",
            self.relation
        );
        let rows = self.transaction.query_all_raw(self.statement(sql, None)).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    /// Takes the flags of rows with fewer views than `top_views` away.
    async fn unflag(&self, top_views: i64) -> Result<(), DbErr> {
        let index = indexed_by(self.transaction.get_database_backend(), TOP_INDEX);
        let change = format!("{index} SET top = NULL WHERE {{bucket}} AND top AND views < $3");
        self.execute(&change, top_views).await
    }

    /// Updates rows by `change`, in which `{bucket}` stands for the condition and `$3` for `top_views`.
    async fn execute(&self, change: &str, top_views: i64) -> Result<(), DbErr> {
        let sql = format!("UPDATE {} {}", self.relation, change.replace("{bucket}", BUCKET));
        self.transaction.execute_raw(self.statement(sql, Some(top_views))).await.map(drop)
    }

    fn statement(&self, sql: String, top_views: Option<i64>) -> Statement {
        let (grain, date) = self.bucket;
        let values = [Value::from(grain.as_str()), date.into()].into_iter().chain(top_views.map(Value::from));
        Statement::from_sql_and_values(self.transaction.get_database_backend(), sql, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_flags_between_k_and_2k_rows_unless_ties_prevent_it() {
        let top = TopPages::new(2);
        for (views, expected) in [
            (vec![], 1),
            (vec![9, 5, 1, 1], 1),
            (vec![9, 5, 4, 3, 2], 5),
            (vec![9, 5, 5, 3, 2], 5),
            (vec![9, 5, 5, 5, 5], 6),
            (vec![5, 5, 5, 5, 5], 6),
            (vec![1, 1, 1, 1, 1], 2),
        ] {
            assert_eq!(top.threshold(&views), expected, "{views:?}");
        }
    }

    #[test]
    fn threshold_is_raised_before_many_rows_grow() {
        let top = TopPages::new(2);
        let raised = |from: Option<i64>, views: &[i64]| {
            let mut top_views = from;
            top.raise(&mut top_views, || views.iter().copied());
            top_views
        };
        assert_eq!(raised(Some(1), &[1, 1, 1, 1]), Some(1));
        assert_eq!(raised(Some(1), &[1, 1, 1, 1, 1]), Some(2));
        assert_eq!(raised(Some(1), &[3, 1, 9, 1, 7, 8]), Some(8));
        assert_eq!(raised(Some(20), &[3, 1, 9, 1, 7, 8]), Some(20));
        assert_eq!(raised(None, &[3, 1, 9, 1, 7, 8]), None);
    }
}

//! The pages whose rows a transaction changes, recorded with the version of the report's content that it makes.

use std::collections::BTreeSet;

use entity::{report_change, report_refresh};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter};
use storage::Transaction;

/// The most pages that are recorded of a version; more count as any page.
const PAGES_MAX: usize = 10_000;
/// How many versions are recorded.
pub(crate) const VERSIONS_KEPT: i64 = 64;

/// Hashes of the names of pages; `None` for any page.
#[derive(Clone, Debug)]
pub(crate) struct ChangedPages(Option<BTreeSet<u64>>);

impl Default for ChangedPages {
    fn default() -> Self {
        Self(Some(BTreeSet::new()))
    }
}

impl ChangedPages {
    /// Adds the pages `names`.
    pub(crate) fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) {
        if let Some(hashes) = &mut self.0 {
            hashes.extend(names.into_iter().map(|name| report_change::hash(name)));
            if hashes.len() > PAGES_MAX {
                self.0 = None;
            }
        }
    }

    /// Notes that any page may change.
    pub(crate) fn add_any(&mut self) {
        self.0 = None;
    }

    /// Records the pages with the newest version, which this transaction has made. Where it may be any page, what was recorded of
    /// earlier versions is of no use.
    pub(crate) async fn record(self, transaction: &Transaction) -> Result<(), DbErr> {
        let Some(hashes) = self.0 else {
            return report_change::Entity::delete_many().exec(transaction).await.map(drop);
        };
        let Some(newest) = report_refresh::newest(transaction).await? else { return Ok(()) };
        let version = newest.content_version;
        let column = report_change::Column::ContentVersion;
        let others = Condition::any().add(column.lte(version - VERSIONS_KEPT)).add(column.gte(version));
        report_change::Entity::delete_many().filter(others).exec(transaction).await?;
        let row =
            report_change::ActiveModel { content_version: Set(version), pages: Set(report_change::pages(hashes)) };
        row.insert(transaction).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_pages_than_are_recorded_count_as_any_page() {
        let names: Vec<String> = (0..=PAGES_MAX).map(|number| number.to_string()).collect();
        let mut pages = ChangedPages::default();
        pages.add(&names[..PAGES_MAX]);
        pages.add(&names[..1]);
        assert_eq!(pages.0.as_ref().map(BTreeSet::len), Some(PAGES_MAX));
        pages.add(&names[PAGES_MAX..]);
        assert_eq!(pages.0, None);
        pages.add(&names[..1]);
        assert_eq!(pages.0, None, "what was changed before is not forgotten");
    }
}

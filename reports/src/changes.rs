//! Which pages the versions of the report's content have changed, as far as the Wolf has recorded it.

use std::{
    collections::{BTreeMap, HashSet},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use entity::report_change;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use storage::Connections;
use tokio::sync::Mutex as AsyncMutex;

/// The most versions whose changes are remembered, and that a result is carried over at once.
const VERSIONS_MAX: usize = 64;

/// The changes of versions. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(super) struct ContentChanges {
    db: Connections,
    known: Arc<Mutex<Known>>,
    /// Held while changes are read from the database, so that they are read once.
    reading: Arc<AsyncMutex<()>>,
}

/// The hashes of the changed pages' names by version; `None` where any page may have changed.
#[derive(Debug, Default)]
struct Known(BTreeMap<i64, Option<HashSet<u64>>>);

impl ContentChanges {
    pub(super) fn new(db: &Connections) -> Self {
        Self { db: db.clone(), known: Arc::default(), reading: Arc::default() }
    }

    /// Returns whether the pages, by the hashes of their names, are sure to be the same in two versions. The changes of a
    /// version are read once for all who ask.
    pub(super) async fn are_same(&self, pages: &[u64], one: i64, other: i64) -> bool {
        let versions = one.min(other) + 1..=one.max(other);
        if usize::try_from(versions.end() - versions.start()).is_ok_and(|number| number >= VERSIONS_MAX) {
            return false;
        }
        if let Some(is_same) = self.lock().are_same(pages, versions.clone()) {
            return is_same;
        }
        let _reading = self.reading.lock().await;
        // Another one may have read them meanwhile.
        if let Some(is_same) = self.lock().are_same(pages, versions.clone()) {
            return is_same;
        }
        // If it fails, what has changed is asked for again with the next query; this one is computed.
        let read = Box::pin(self.read(versions.clone())).await;
        read.is_ok() && self.lock().are_same(pages, versions).unwrap_or(false)
    }

    /// Reads the changes of `versions`, which are committed: what is there of them now does not change any more.
    async fn read(&self, versions: RangeInclusive<i64>) -> Result<(), DbErr> {
        let column = report_change::Column::ContentVersion;
        let rows = report_change::Entity::find().filter(column.between(*versions.start(), *versions.end()));
        let rows = rows.all(&self.db).await?;
        let changed = rows.into_iter().map(|row| (row.content_version, Some(row.hashes().collect())));
        let mut known = self.lock();
        known.0.extend(versions.map(|version| (version, None)));
        known.0.extend(changed);
        while known.0.len() > VERSIONS_MAX {
            known.0.pop_first();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Returns whether `versions` are sure not to have changed these pages, or `None` if what one of them has changed is
    /// not known.
    fn are_same(&self, pages: &[u64], versions: RangeInclusive<i64>) -> Option<bool> {
        let changed = versions.map(|version| self.0.get(&version)).collect::<Option<Vec<_>>>()?;
        let is_same = |changed: &Option<HashSet<u64>>| {
            changed.as_ref().is_some_and(|changed| !pages.iter().any(|hash| changed.contains(hash)))
        };
        Some(changed.into_iter().all(is_same))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_the_same_only_where_no_version_may_have_changed_it() {
        let changed = |hashes: &[u64]| Some(hashes.iter().copied().collect());
        let known = Known(BTreeMap::from([(2, changed(&[7])), (3, changed(&[])), (4, None)]));
        assert_eq!(known.are_same(&[8, 9], 2..=3), Some(true));
        assert_eq!(known.are_same(&[8, 7], 2..=3), Some(false));
        assert_eq!(known.are_same(&[7], 3..=3), Some(true));
        assert_eq!(known.are_same(&[8], 2..=4), Some(false), "any page may have changed");
        assert_eq!(known.are_same(&[8], 1..=3), None, "not read yet");
    }
}

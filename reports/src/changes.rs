//! Which pages the versions of the report's content have changed, as far as the Wolf has recorded it.

use std::{
    collections::{BTreeMap, HashSet},
    ops::RangeInclusive,
    sync::Arc,
};

use entity::report_change::{self, hash};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use storage::Connections;
use tokio::sync::Mutex;

/// The most versions whose changes are remembered, and that a result is carried over at once.
const VERSIONS_MAX: usize = 64;

/// The changes of versions. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub(super) struct ContentChanges {
    db: Connections,
    /// The hashes of the changed pages' names by version; `None` where any page may have changed.
    known: Arc<Mutex<BTreeMap<i64, Option<HashSet<u64>>>>>,
}

impl ContentChanges {
    pub(super) fn new(db: &Connections) -> Self {
        Self { db: db.clone(), known: Arc::default() }
    }

    /// Returns whether the pages `names` are sure to be the same in two versions. The changes of a version are read once for all
    /// who ask.
    pub(super) async fn are_same(&self, names: &[String], one: i64, other: i64) -> bool {
        let versions = one.min(other) + 1..=one.max(other);
        if usize::try_from(versions.end() - versions.start()).is_ok_and(|number| number >= VERSIONS_MAX) {
            return false;
        }
        let mut known = self.known.lock().await;
        let unknown = versions.clone().find(|version| !known.contains_key(version));
        if let Some(first) = unknown
            && self.read(&mut known, first..=*versions.end()).await.is_err()
        {
            // What has changed is asked for again with the next query; this one is computed.
            return false;
        }
        let is_same = |version: i64| match known.get(&version) {
            Some(Some(changed)) => !names.iter().any(|name| changed.contains(&hash(name))),
            _ => false,
        };
        versions.into_iter().all(is_same)
    }

    /// Reads the changes of `versions`, which are committed: what is there of them now does not change any more.
    async fn read(
        &self,
        known: &mut BTreeMap<i64, Option<HashSet<u64>>>,
        versions: RangeInclusive<i64>,
    ) -> Result<(), DbErr> {
        let column = report_change::Column::ContentVersion;
        let rows = report_change::Entity::find().filter(column.between(*versions.start(), *versions.end()));
        let rows = rows.all(&self.db).await?;
        known.extend(versions.map(|version| (version, None)));
        known.extend(rows.into_iter().map(|row| (row.content_version, Some(row.hashes().collect()))));
        while known.len() > VERSIONS_MAX {
            known.pop_first();
        }
        Ok(())
    }
}

//! The migrations of what only a Citus cluster needs. SQLite can't be distributed, and has nothing of it.

use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    prelude::{DbErr, async_trait},
};

use crate::run;

/// What they do to an SQLite file.
const NOTHING: &str = "SELECT 1";

/// The marks of stale pages and the changes of a merge, which are distributed beside the counts.
pub(crate) const DISTRIBUTED_MARKS: OfClusters = OfClusters {
    name: "m20261127_000008_distributed_marks",
    up: include_str!("m20261127_000008_distributed_marks/postgres_up.sql"),
    down: include_str!("m20261127_000008_distributed_marks/postgres_down.sql"),
};
/// Marks of stale pages that have the views which their transaction adds.
pub(crate) const STAGED_COUNTS: OfClusters = OfClusters {
    name: "m20261127_000010_staged_counts",
    up: include_str!("m20261127_000010_staged_counts/postgres_up.sql"),
    down: include_str!("m20261127_000010_staged_counts/postgres_down.sql"),
};
/// The function by which a node commits its own rows alone.
pub(crate) const NODE_COMMITS: OfClusters = OfClusters {
    name: "m20261128_000014_node_commits",
    up: include_str!("m20261128_000014_node_commits/postgres_up.sql"),
    down: include_str!("m20261128_000014_node_commits/postgres_down.sql"),
};
/// Which parts of requests with a key the nodes have counted.
pub(crate) const COUNTED_PARTS: OfClusters = OfClusters {
    name: "m20261128_000015_counted_parts",
    up: include_str!("m20261128_000015_counted_parts/postgres_up.sql"),
    down: include_str!("m20261128_000015_counted_parts/postgres_down.sql"),
};

/// A migration of PostgreSQL.
#[derive(Debug)]
pub(crate) struct OfClusters {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

impl MigrationName for OfClusters {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for OfClusters {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.up, NOTHING).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.down, NOTHING).await
    }
}

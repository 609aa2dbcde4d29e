//! `idempotency_keys`: the requests with a key that have been counted.

use sea_orm::entity::prelude::*;

/// A counted request. The row is written in the same transaction as the request's counts.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// A client's key as sent, or an import's: `import:`, the log's hash and the chunk's number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The client that the key belongs to: a name, a token's hash or `(anonymous)`. Empty for keys of imports, and for
    /// keys of older program versions, where keys did not belong to clients.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client: String,
    /// The SHA-256 of the increments as sent, 32 bytes. The same key with other increments is refused.
    pub fingerprint: Vec<u8>,
    /// When the request was counted.
    pub recorded_at: DateTimeUtc,
    /// Whether the key is kept as long as its counts, as an import's is. Other keys are pruned after 24 hours.
    pub kept: bool,
    /// The value of `refresh_clock.elapsed_ms` when the key was claimed. The key's age is measured by it, since it does
    /// not jump as clocks do.
    pub claimed_ms: i64,
}

/// The table has no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

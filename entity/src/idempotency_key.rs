//! `idempotency_keys`: which keyed requests have been counted.

use sea_orm::entity::prelude::*;

/// One counted request; its row is written in the same transaction as its counts.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// A client's key as sent, or `import:` with the file's hash and the chunk's number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The client that it belongs to: a name, a token's hash, or `(anonymous)`; empty for an import's key, and for those that
    /// any client claimed before keys belonged to clients.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client: String,
    /// SHA-256 of the increments as sent, 32 bytes: the same key with other increments is refused.
    pub fingerprint: Vec<u8>,
    /// When the request was counted.
    pub recorded_at: DateTimeUtc,
    /// True for an import's key, which is kept as long as its counts; a client's is pruned after 24 hours.
    pub kept: bool,
    /// `refresh_clock.elapsed_ms` when the key was claimed: the key ages by elapsed time, which no clock's jump changes.
    pub claimed_ms: i64,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

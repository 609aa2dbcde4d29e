//! What imports have stored of what they counted: rewritten where pages get other names or go, taken back where an import is
//! undone.

use std::collections::HashMap;

use entity::{Counted, Hour, import_count};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use storage::Transaction;

use crate::aliases;

/// How many chunks one transaction rewrites.
const CHUNKS_PER_PORTION: u64 = 16;

/// The chunks after which the next ones come, by chunk and import.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position(Option<(i64, i64)>);

/// Rewrites the next chunks' counts by `change`, which is told of the page that the views count for, and returns the page that
/// they count for from now on, if any. Returns where it is then; `None` at the end.
pub(super) async fn rewrite(
    transaction: &Transaction,
    position: Position,
    change: impl Fn(&str, Hour) -> Option<String>,
) -> Result<Option<Position>, DbErr> {
    let chunks = after(transaction, position, None).await?;
    let Some(last) = chunks.last() else { return Ok(None) };
    let next = Position(Some((last.chunk, last.import)));
    let targets = aliases::targets(transaction).await?;
    for chunk in chunks {
        let before = Counted::decode(&chunk.counted).map_err(damaged)?;
        let mut counted = Counted::default();
        for (page, hour, views) in before.iter() {
            if let Some(page) = change(&target_of(&targets, page), hour) {
                counted.add(&page, hour, views);
            }
        }
        if counted != before {
            write(transaction, (chunk.chunk, chunk.import), &counted).await?;
        }
    }
    Ok(Some(next))
}

/// Returns the chunks after `position`, of one import or of all.
async fn after(
    transaction: &Transaction,
    Position(position): Position,
    import: Option<i64>,
) -> Result<Vec<import_count::Model>, DbErr> {
    let key = || Expr::tuple([import_count::Column::Chunk, import_count::Column::Import].map(Expr::col));
    let mut chunks = import_count::Entity::find();
    if let Some((chunk, of_import)) = position {
        chunks = chunks.filter(key().gt(Expr::tuple([Expr::val(chunk), Expr::val(of_import)])));
    }
    if let Some(import) = import {
        chunks = chunks.filter(import_count::Column::Import.eq(import));
    }
    let chunks = chunks.order_by_asc(import_count::Column::Chunk).order_by_asc(import_count::Column::Import);
    chunks.limit(CHUNKS_PER_PORTION).all(transaction).await
}

/// Stores what is left of what an import has counted of a chunk.
async fn write(transaction: &Transaction, (chunk, import): (i64, i64), counted: &Counted) -> Result<(), DbErr> {
    let row = import_count::ActiveModel {
        chunk: Set(chunk),
        import: Set(import),
        views: Set(counted.views()),
        counted: Set(counted.encode().map_err(damaged)?),
    };
    row.update(transaction).await.map(drop)
}

/// Returns all that an import has counted. It is read chunk by chunk, and takes about 100 bytes of memory for each page and
/// hour.
pub(super) async fn all_of(transaction: &Transaction, import: i64) -> Result<HashMap<(Hour, String), i64>, DbErr> {
    let targets = aliases::targets(transaction).await?;
    let mut all: HashMap<(Hour, String), i64> = HashMap::new();
    let mut position = Position::default();
    loop {
        let chunks = after(transaction, position, Some(import)).await?;
        let Some(last) = chunks.last() else { return Ok(all) };
        position = Position(Some((last.chunk, last.import)));
        for chunk in chunks {
            for (page, hour, views) in Counted::decode(&chunk.counted).map_err(damaged)?.iter() {
                *all.entry((hour, target_of(&targets, page))).or_default() += views;
            }
        }
    }
}

/// Takes at most `limit` of the counts that an import has stored, and deletes them there. Returns nothing at the end.
pub(super) async fn take(
    transaction: &Transaction,
    import: i64,
    limit: usize,
) -> Result<Option<Vec<(Hour, String, i64)>>, DbErr> {
    let first = import_count::Entity::find()
        .filter(import_count::Column::Import.eq(import))
        .order_by_asc(import_count::Column::Chunk)
        .one(transaction);
    let Some(chunk) = first.await? else { return Ok(None) };
    let targets = aliases::targets(transaction).await?;
    let (mut taken, mut left) = (Vec::new(), Counted::default());
    for (page, hour, views) in Counted::decode(&chunk.counted).map_err(damaged)?.iter() {
        if taken.len() < limit {
            taken.push((hour, target_of(&targets, page), views));
        } else {
            left.add(page, hour, views);
        }
    }
    if left == Counted::default() {
        import_count::Entity::delete_by_id((chunk.chunk, chunk.import)).exec(transaction).await?;
    } else {
        write(transaction, (chunk.chunk, chunk.import), &left).await?;
    }
    Ok(Some(taken))
}

/// Returns the page that views of `page` count for.
fn target_of(targets: &HashMap<String, String>, page: &str) -> String {
    targets.get(page).map_or(page, String::as_str).to_owned()
}

fn damaged(error: std::io::Error) -> DbErr {
    DbErr::Custom(error.to_string())
}

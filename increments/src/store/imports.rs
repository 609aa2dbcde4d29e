//! The statements of an import's step. They are the same on both databases.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, SqliteConnection};

use crate::imports::{ChunkChange, ImportStep, NewChunk};

/// The result of a step.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum StepResult {
    /// The rows were written.
    Written,
    /// An earlier transaction has written the same rows: nothing was changed.
    Repeated,
    /// Another import has changed the chunks meanwhile: nothing was changed.
    Outdated,
}

/// The statements of steps. Each returns the number of rows that it changed.
trait ImportStatements: Send {
    async fn insert_chunk(&mut self, chunk: &NewChunk) -> Result<u64, sqlx::Error>;
    async fn seal_chunk(&mut self, id: i64, digest: &[u8]) -> Result<u64, sqlx::Error>;
    async fn grow_chunk(&mut self, digest_before: &[u8], chunk: &NewChunk) -> Result<u64, sqlx::Error>;
    async fn revise_chunk(&mut self, id: i64, digest: &[u8], revision: i32) -> Result<u64, sqlx::Error>;
    /// Returns the chunk's digest; none if there is no such chunk.
    async fn digest(&mut self, id: i64) -> Result<Option<Vec<u8>>, sqlx::Error>;
    async fn write_import(&mut self, step: &ImportStep, now: DateTime<Utc>) -> Result<(), sqlx::Error>;
    async fn write_counts(&mut self, step: &ImportStep) -> Result<(), sqlx::Error>;
}

macro_rules! implement_import_statements {
    ($connection:ty) => {
        impl ImportStatements for $connection {
            async fn insert_chunk(&mut self, chunk: &NewChunk) -> Result<u64, sqlx::Error> {
                let inserted = sqlx::query(include_str!("imports/insert_chunk.sql"))
                    .bind(chunk.id)
                    .bind(chunk.parent)
                    .bind(chunk.first_line.as_slice())
                    .bind(chunk.ordinal)
                    .bind(chunk.bytes)
                    .bind(chunk.lines)
                    .bind(chunk.digest.as_slice())
                    .bind(chunk.line_checks.as_slice())
                    .bind(chunk.open_line.code())
                    .bind(chunk.counts_known)
                    .execute(&mut *self);
                Ok(inserted.await?.rows_affected())
            }

            async fn seal_chunk(&mut self, id: i64, digest: &[u8]) -> Result<u64, sqlx::Error> {
                let sealed = sqlx::query(include_str!("imports/seal_chunk.sql")).bind(id).bind(digest);
                Ok(sealed.execute(&mut *self).await?.rows_affected())
            }

            async fn grow_chunk(&mut self, digest_before: &[u8], chunk: &NewChunk) -> Result<u64, sqlx::Error> {
                let grown = sqlx::query(include_str!("imports/grow_chunk.sql"))
                    .bind(chunk.id)
                    .bind(digest_before)
                    .bind(chunk.bytes)
                    .bind(chunk.lines)
                    .bind(chunk.digest.as_slice())
                    .bind(chunk.line_checks.as_slice())
                    .bind(chunk.open_line.code())
                    .execute(&mut *self);
                Ok(grown.await?.rows_affected())
            }

            async fn revise_chunk(&mut self, id: i64, digest: &[u8], revision: i32) -> Result<u64, sqlx::Error> {
                let revised = sqlx::query(include_str!("imports/revise_chunk.sql"));
                let revised = revised.bind(id).bind(digest).bind(revision).execute(&mut *self);
                Ok(revised.await?.rows_affected())
            }

            async fn digest(&mut self, id: i64) -> Result<Option<Vec<u8>>, sqlx::Error> {
                let digest = sqlx::query_scalar("SELECT digest FROM import_chunks WHERE id = $1").bind(id);
                digest.fetch_optional(&mut *self).await
            }

            async fn write_import(&mut self, step: &ImportStep, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
                let ImportStep { run, lines, .. } = step;
                let written = sqlx::query(include_str!("imports/write_import.sql"))
                    .bind(run.id)
                    .bind(run.began_at)
                    .bind(now)
                    .bind(run.source.as_str())
                    .bind(run.rules.as_str())
                    .bind(run.program.as_str())
                    .bind(lines.lines)
                    .bind(lines.counted)
                    .bind(lines.left_out)
                    .bind(lines.unreadable)
                    .execute(&mut *self);
                written.await.map(drop)
            }

            async fn write_counts(&mut self, step: &ImportStep) -> Result<(), sqlx::Error> {
                let Some(counts) = &step.counts else { return Ok(()) };
                let written = sqlx::query(include_str!("imports/write_counts.sql"))
                    .bind(step.change.chunk_id())
                    .bind(step.run.id)
                    .bind(counts.views)
                    .bind(counts.counted.as_slice())
                    .execute(&mut *self);
                written.await.map(drop)
            }
        }
    };
}

implement_import_statements!(PgConnection);
implement_import_statements!(SqliteConnection);

/// Takes the step on PostgreSQL.
pub(super) async fn take_on_postgres(
    connection: &mut PgConnection,
    step: &ImportStep,
    now: DateTime<Utc>,
) -> Result<StepResult, sqlx::Error> {
    take(connection, step, now).await
}

/// Takes the step on SQLite.
pub(super) async fn take_on_sqlite(
    connection: &mut SqliteConnection,
    step: &ImportStep,
    now: DateTime<Utc>,
) -> Result<StepResult, sqlx::Error> {
    take(connection, step, now).await
}

/// Changes the chunk and writes what the import counted of it, or changes nothing.
async fn take<S: ImportStatements>(
    statements: &mut S,
    step: &ImportStep,
    now: DateTime<Utc>,
) -> Result<StepResult, sqlx::Error> {
    let result = change(statements, &step.change).await?;
    // Without lines there is nothing to list: only the end of a line that was counted before, or an earlier import.
    if result == StepResult::Written && step.lines.lines > 0 {
        statements.write_import(step, now).await?;
        statements.write_counts(step).await?;
    }
    Ok(result)
}

async fn change<S: ImportStatements>(statements: &mut S, change: &ChunkChange) -> Result<StepResult, sqlx::Error> {
    let (id, digest, changed) = match change {
        ChunkChange::Inserted { parent_digest, chunk } => {
            // The parent is locked before anything is inserted behind it, so that it can't grow at the same time.
            let parent_is_unchanged = match parent_digest {
                Some(digest) => statements.seal_chunk(chunk.parent, digest).await? > 0,
                None => true,
            };
            let inserted = parent_is_unchanged && statements.insert_chunk(chunk).await? > 0;
            (chunk.id, &chunk.digest, inserted)
        }
        ChunkChange::Grown { digest_before, chunk } => {
            (chunk.id, &chunk.digest, statements.grow_chunk(digest_before, chunk).await? > 0)
        }
        ChunkChange::Revised { id, digest, revision } => {
            let revised = statements.revise_chunk(*id, digest, *revision).await? > 0;
            return Ok(if revised { StepResult::Written } else { StepResult::Outdated });
        }
    };
    if changed {
        return Ok(StepResult::Written);
    }
    // The ids are random, so a chunk with this id and end was written by an earlier try of the same step.
    let is_repeated = statements.digest(id).await?.is_some_and(|stored| stored == digest);
    Ok(if is_repeated { StepResult::Repeated } else { StepResult::Outdated })
}

//! Jobs: changes of what was counted. A job is handed over by one transaction; the Wolf does it in its next refresh, in
//! portions, before that refresh promises its `asOf`. So `asOf >= recordedAt` means that a job has ended, as it means
//! for increments that they are in the report.
//!
//! Here jobs are handed over and looked at. The Wolf checks again what is checked here, when it begins a job: what was
//! true then may not be true any more. A job is done as a whole or refused.
//!
//! A request for a refresh is handed over to the Wolf here, too.

use std::time::Duration;

use chrono::{DateTime, Utc};
pub use entity::job::{Kind, Model as Job, PageSelection, Status, Task};
use entity::{import, job, page, page_alias, refresh_request};
use futures_util::{Stream, stream};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
    sea_query::{Expr, ExprTrait},
};
use sha2::{Digest, Sha256};
use storage::{Database, Purpose, Transaction, clock};
use tokio::time::sleep;
use tracing::info;

/// The most jobs that may wait at a time.
pub const JOBS_WAITING_MAX: u64 = 1_000;
/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 1_024;
/// The most pages that a job may name.
pub const NAMES_MAX: usize = 1_000;
/// The most views that one correction adds or takes away.
pub const CORRECTION_MAX: i64 = 1_000_000_000;
/// The time between two looks at a job that is followed.
const FOLLOW_PERIOD: Duration = Duration::from_secs(1);

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    /// What is to be done. Its names are valid ones.
    pub task: Task,
    /// Why, at most [`REASON_BYTES_MAX`] bytes.
    pub reason: Option<String>,
    /// The idempotency key.
    pub key: Option<JobKey>,
}

/// An idempotency key: a second request with it is the same job, for as long as the job is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobKey {
    digest: KeyDigest,
    /// The key as the same client had it before it got its name.
    former: Option<KeyDigest>,
}

/// The SHA-256 of a key and its client.
type KeyDigest = [u8; 32];

impl JobKey {
    /// Returns the key `text` of the client with this id, which had the id `former` before.
    #[must_use]
    pub fn new(client: &str, former: Option<&str>, text: &str) -> Self {
        let of = |client: &str| {
            let mut digest = Sha256::new();
            digest.update(client.len().to_le_bytes());
            digest.update(client);
            digest.update(text);
            digest.finalize().into()
        };
        Self { digest: of(client), former: former.map(of) }
    }
}

/// A job that is handed over, or was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The job.
    pub job: Job,
    /// The job has ended, and what it changed is in the report, once `asOf` is at or after this.
    pub recorded_at: DateTime<Utc>,
    /// Whether an earlier request with the same key has handed it over.
    pub duplicate: bool,
}

/// Why a job is not taken.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// No such page was recorded.
    #[error("there is no page {0:?}")]
    UnknownPage(String),
    /// A page can't get the name that it has.
    #[error("a page can't be renamed to itself")]
    SameName,
    /// The target of a rename is an alias of the page itself.
    #[error("the new name is an alias of this page: remove the alias first, by removing the page of its name")]
    AliasOfItself,
    /// The target of a rename is an alias.
    #[error("the new name is an alias of another page: rename to that page")]
    TargetIsAlias,
    /// No further alias is possible.
    #[error("there are {} aliases already, the most that there may be", page_alias::ALIASES_MAX)]
    TooManyAliases,
    /// No such import was recorded.
    #[error("there is no import with this id")]
    UnknownImport,
    /// What the import counted was taken back already.
    #[error("this import was undone already")]
    UndoneAlready,
    /// The key was used for something else.
    #[error("the key was used before, for another job")]
    KeyReused,
    /// Too many jobs wait.
    #[error("{JOBS_WAITING_MAX} jobs wait already; try again when the Wolf has done some")]
    TooManyJobs,
    /// The database can't be used.
    #[error("the database can't be used")]
    Database(#[from] DbErr),
}

/// Hands jobs over, and tells how far they are. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Jobs {
    database: Database,
}

impl Jobs {
    /// Returns the jobs of `database`.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    /// Hands a job over. Returns after it is committed.
    ///
    /// # Errors
    /// [`JobError`]; then nothing is handed over, but if the database is lost during the commit that is not certain.
    pub async fn submit(&self, request: JobRequest) -> Result<Submitted, JobError> {
        let transaction = self.database.background.begin(Purpose::Change).await?;
        let task = serde_json::to_string(&request.task).map_err(|error| DbErr::Json(error.to_string()))?;
        let earlier = match &request.key {
            Some(key) => earlier(&transaction, key).await?,
            None => None,
        };
        if let Some(job) = earlier {
            // What an ended job had to do is not known any more.
            if job.kind != request.task.kind() || job.task.as_ref().is_some_and(|before| *before != task) {
                return Err(JobError::KeyReused);
            }
            let recorded_at = self.commit(transaction).await?;
            return Ok(Submitted { job, recorded_at, duplicate: true });
        }
        let waiting = job::Entity::find().filter(job::Column::FinishedAt.is_null()).limit(JOBS_WAITING_MAX);
        if waiting.count(&transaction).await? >= JOBS_WAITING_MAX {
            return Err(JobError::TooManyJobs);
        }
        check(&transaction, &request.task).await?;
        let job = job::ActiveModel {
            kind: Set(request.task.kind()),
            task: Set(Some(task)),
            reason: Set(request.reason),
            key_digest: Set(request.key.map(|key| key.digest.to_vec())),
            status: Set(Status::Queued),
            requested_at: Set(self.database.clock.database_now(&transaction).await?),
            pages: Set(0),
            views: Set(0),
            ..Default::default()
        };
        let job = job.insert(&transaction).await?;
        let recorded_at = self.commit(transaction).await?;
        info!(job.id = job.id, job.kind = ?job.kind, "a job waits for the next refresh");
        Ok(Submitted { job, recorded_at, duplicate: false })
    }

    /// Asks the Wolf for a refresh. Returns the time from which on `asOf` is that of a refresh that began after this call.
    ///
    /// # Errors
    /// When the database can't be used.
    pub async fn request_refresh(&self) -> Result<DateTime<Utc>, DbErr> {
        let transaction = self.database.background.begin(Purpose::Change).await?;
        let announced_at = entity::refresh_clock::read(&transaction).await?.announced_at;
        // A refresh with this `asOf` or a later one is announced after the reading above.
        let requested_at = clock::recorded_at(self.database.clock.database_now(&transaction).await?, announced_at);
        let before = refresh_request::Column::RequestedAt;
        refresh_request::Entity::update_many()
            .col_expr(before, Expr::value(requested_at))
            .filter(before.is_null().or(before.lt(requested_at)))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(requested_at)
    }

    /// Checks a job without handing it over.
    ///
    /// # Errors
    /// [`JobError`], if [`Jobs::submit`] would not take it.
    pub async fn check(&self, task: &Task) -> Result<(), JobError> {
        check(&self.database.readers, task).await
    }

    /// Commits, and returns from which `asOf` on the commit is known to every refresh: see `storage::clock`.
    async fn commit(&self, transaction: Transaction) -> Result<DateTime<Utc>, DbErr> {
        let db = &self.database.background;
        transaction.commit().await?;
        let announced_at = entity::refresh_clock::read(db).await?.announced_at;
        Ok(clock::recorded_at(self.database.clock.database_now(db).await?, announced_at))
    }

    /// Returns the job with this id.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn find(&self, id: i64) -> Result<Option<Job>, DbErr> {
        job::Entity::find_by_id(id).one(&self.database.readers).await
    }

    /// Returns the job as it is now, and again whenever it has changed, until it has ended; nothing if there is no such job.
    /// An error is the last item.
    pub fn follow(&self, id: i64) -> impl Stream<Item = Result<Job, DbErr>> + Send + use<> {
        let following = Following { jobs: self.clone(), id, last: None, is_over: false };
        stream::unfold(following, |mut following| async {
            let item = following.next().await?;
            Some((item, following))
        })
    }

    /// Returns at most `limit` jobs before the job `before`, newest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn newest(&self, before: Option<i64>, limit: u64) -> Result<Vec<Job>, DbErr> {
        let jobs = job::Entity::find().filter(job::Column::Id.lt(before.unwrap_or(i64::MAX)));
        jobs.order_by_desc(job::Column::Id).limit(limit).all(&self.database.readers).await
    }
}

/// A job that is looked at until it has ended.
struct Following {
    jobs: Jobs,
    id: i64,
    last: Option<Job>,
    is_over: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Result<Job, DbErr>> {
        if self.is_over {
            return None;
        }
        loop {
            match self.jobs.find(self.id).await {
                Ok(None) => return None,
                Ok(found) if found == self.last => sleep(FOLLOW_PERIOD).await,
                Ok(Some(job)) => {
                    self.is_over = job.finished_at.is_some();
                    self.last = Some(job.clone());
                    return Some(Ok(job));
                }
                Err(failure) => {
                    self.is_over = true;
                    return Some(Err(failure));
                }
            }
        }
    }
}

async fn earlier(transaction: &Transaction, key: &JobKey) -> Result<Option<Job>, DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        // One request with a key at a time: the second one sees the job of the first.
        let lock = i64::from_le_bytes(std::array::from_fn(|index| key.digest[index]));
        let values = [lock.into()];
        let lock = Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_advisory_xact_lock($1)", values);
        transaction.execute_raw(lock).await?;
    }
    let digests = [Some(key.digest), key.former].into_iter().flatten().map(|digest| digest.to_vec());
    job::Entity::find().filter(job::Column::KeyDigest.is_in(digests)).one(transaction).await
}

/// Checks what can be known before the job is done.
async fn check<C: ConnectionTrait>(db: &C, task: &Task) -> Result<(), JobError> {
    match task {
        Task::RenamePage { from, to, keep_alias } => check_rename(db, from, to, *keep_alias).await,
        Task::RemoveViews { pages: Some(pages), .. } => {
            for name in pages.names() {
                check_page(db, name).await?;
            }
            Ok(())
        }
        Task::RemoveViews { .. } => Ok(()),
        Task::CorrectViews { page, .. } => check_page(db, page).await,
        Task::UndoImport { import } => match import::Entity::find_by_id(*import).one(db).await? {
            None => Err(JobError::UnknownImport),
            Some(import) if import.undone_at.is_some() => Err(JobError::UndoneAlready),
            Some(_) => Ok(()),
        },
    }
}

/// Checks whether there is a page or an alias of this name.
async fn check_page<C: ConnectionTrait>(db: &C, name: &str) -> Result<(), JobError> {
    let is_known = is_page(db, name).await? || alias_target(db, name).await?.is_some();
    if is_known { Ok(()) } else { Err(JobError::UnknownPage(name.to_owned())) }
}

/// Checks whether a page can be renamed. The Wolf checks the same.
///
/// # Errors
/// [`JobError`], if it can't be.
async fn check_rename<C: ConnectionTrait>(db: &C, from: &str, to: &str, keep_alias: bool) -> Result<(), JobError> {
    if from == to {
        return Err(JobError::SameName);
    }
    match alias_target(db, to).await? {
        Some(target) if target == from => return Err(JobError::AliasOfItself),
        Some(_) => return Err(JobError::TargetIsAlias),
        None => {}
    }
    if !is_page(db, from).await? {
        return Err(JobError::UnknownPage(from.to_owned()));
    }
    if keep_alias && page_alias::Entity::find().count(db).await? >= page_alias::ALIASES_MAX {
        return Err(JobError::TooManyAliases);
    }
    Ok(())
}

async fn is_page<C: ConnectionTrait>(db: &C, name: &str) -> Result<bool, DbErr> {
    Ok(page::Entity::find_by_id(name).one(db).await?.is_some())
}

async fn alias_target<C: ConnectionTrait>(db: &C, name: &str) -> Result<Option<String>, DbErr> {
    Ok(page_alias::Entity::find_by_id(name).one(db).await?.map(|alias| alias.target))
}

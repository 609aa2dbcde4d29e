//! Group commit: all waiting requests are committed in one transaction, while the next group gathers.

mod parts;

use std::{error::Error, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use storage::{Database, DatabaseKind};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug_span, error, warn};

use self::parts::NodeCommitters;
use super::{
    increment::{Request, Role},
    known_pages::KnownPages,
    nodes::LostNodes,
    store::{Committed, Counted, Outcome, Session, StoreError},
};
use crate::metrics::{self, Commits};

/// A group takes no further request once it has this many increments. A request is always in one group, or in one of each
/// node of a Citus cluster.
const INCREMENTS_PER_COMMIT_MAX: usize = 50_000;
/// The most tries of a transaction that conflicts with others or loses its connection before the commit.
const TRIES_MAX: u32 = 5;
/// The pause before a retry, multiplied by the number of tries so far.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What can be set about recording.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Recording")]
pub struct RecorderSettings {
    /// The most increments that wait to be committed; further ones are refused with OVERLOADED
    #[arg(long, env = "ANALYTICS_QUEUE_INCREMENTS", value_name = "COUNT", default_value_t = 200_000, value_parser = queue_range())]
    pub queue_increments: u32,
    /// The most transactions that commit at the same time (PostgreSQL). More than one helps only if the database is far
    /// away: they wait for each other's rows, and each sums up fewer increments
    #[arg(long, env = "ANALYTICS_COMMITTERS", value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub committers: u32,
    /// Milliseconds after which a mutation whose increments are not committed fails with UNAVAILABLE
    #[arg(long, env = "ANALYTICS_RECORD_TIMEOUT_MS", value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub record_timeout_ms: u64,
}

fn queue_range() -> clap::builder::RangedI64ValueParser<u32> {
    // The largest request has to fit.
    clap::value_parser!(u32).range(10_000..=100_000_000)
}

/// The acknowledgement of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The increments are in the report once `freshness.asOf` is at or after this time.
    pub recorded_at: DateTime<Utc>,
    /// Whether the idempotency key had been counted before, so that nothing was counted again.
    pub duplicate: bool,
}

/// The reason why a request is not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The queue is full. Nothing was recorded.
    #[error("too many increments wait to be recorded, try again later")]
    Overloaded,
    /// The database can't be reached or does not answer in time. If the connection was lost during the commit, the
    /// increments may have been recorded; a retry with the same idempotency key is safe.
    #[error("the increments could not be recorded, try again with the same idempotency key")]
    Unavailable(#[source] Option<Arc<StoreError>>),
    /// On a Citus cluster, and without an idempotency key: some nodes have recorded the increments of their pages, and others have
    /// not, or it is unknown whether they have.
    #[error(
        "only some of the increments were certainly recorded; with an idempotencyKey such a request can be retried"
    )]
    PartlyRecorded,
    /// The idempotency key was used with other increments before. Nothing was recorded.
    #[error("idempotencyKey was used before, with other increments")]
    KeyReused,
    /// Another import has read the same log meanwhile. Nothing was recorded.
    #[error("another import has read the same log meanwhile")]
    ImportedMeanwhile,
    /// The database refuses the increments. Nothing was recorded.
    #[error("the increments were refused")]
    Refused(#[source] Arc<StoreError>),
}

/// A handle that records requests and answers once they are durable. Clones are cheap and share one queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Submission>,
    room: Arc<Semaphore>,
    capacity: usize,
    timeout: Duration,
}

/// Commits the requests that its recorders have accepted.
#[derive(Debug)]
pub struct Committer {
    queue: Mutex<mpsc::Receiver<Submission>>,
    database: Database,
    known: KnownPages,
    lost: LostNodes,
    committers: u32,
    capacity: usize,
    timeout: Duration,
    commits: Commits,
}

/// A request in the queue.
#[derive(Debug)]
struct Submission {
    request: Request,
    reply: oneshot::Sender<Result<Answer, RecordError>>,
    /// When the caller stops waiting for the reply.
    deadline: Instant,
    /// Permits of the queue, one per increment, returned when the submission is dropped. One without increments needs none.
    room: Option<OwnedSemaphorePermit>,
}

/// The answer to a request that was committed.
#[derive(Clone, Debug)]
struct Answer {
    recorded: Recorded,
    /// The number of the claim, if the key was claimed for parts that are still to be counted.
    claim: Option<i64>,
}

impl Recorder {
    /// Returns a recorder for `database`, and its committer, which has to [run](Committer::run).
    #[must_use]
    pub fn new(database: &Database, settings: &RecorderSettings) -> (Self, Committer) {
        let capacity = usize::try_from(settings.queue_increments).unwrap_or(usize::MAX);
        // Every request takes at least one permit, so the semaphore is always the narrower bound.
        let (sender, receiver) = mpsc::channel(capacity);
        let timeout = Duration::from_millis(settings.record_timeout_ms);
        let committer = Committer {
            queue: Mutex::new(receiver),
            database: database.clone(),
            known: KnownPages::new(),
            lost: LostNodes::default(),
            // SQLite has one writer.
            committers: if database.kind == DatabaseKind::Sqlite { 1 } else { settings.committers },
            capacity,
            timeout,
            commits: Commits::new(),
        };
        (Self { queue: sender, room: Arc::new(Semaphore::new(capacity)), capacity, timeout }, committer)
    }

    /// Returns the longest that [`record`](Self::record) waits.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Records the length of the queue as a metric.
    pub fn observe(&self) {
        metrics::observe_queue(self.capacity - self.room.available_permits(), self.capacity);
    }

    /// Records `request` as a whole or not at all, but for [`RecordError::PartlyRecorded`]. Returns after the commit, or when
    /// `--record-timeout-ms` is over. Dropping the future does not withdraw the request.
    ///
    /// # Errors
    /// See [`RecordError`]. After [`RecordError::Unavailable`] it is unknown whether `request` was recorded.
    pub async fn record(&self, request: Request) -> Result<Recorded, RecordError> {
        let size = u32::try_from(request.increments.len()).unwrap_or(u32::MAX);
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(size.max(1)).map_err(|_full| RecordError::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + self.timeout;
        let submission = Submission { request, reply, deadline, room: Some(room) };
        self.queue.try_send(submission).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RecordError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => RecordError::Unavailable(None),
        })?;
        let answer = timeout_at(deadline, answer).await;
        let answer = answer.ok().and_then(Result::ok).unwrap_or(Err(RecordError::Unavailable(None)));
        answer.map(|answer| answer.recorded)
    }
}

impl Committer {
    /// Commits requests until every [`Recorder`] is dropped or `stop` is cancelled, and the queue is empty. Requests
    /// after `stop` are refused.
    pub async fn run(self, stop: CancellationToken) {
        let shared = Arc::new(self);
        let tasks = TaskTracker::new();
        for _ in 0..shared.committers {
            let (committer, stop) = (Arc::clone(&shared), stop.clone());
            tasks.spawn(async move {
                let mut session = Session::new(&committer.database);
                let mut nodes = NodeCommitters::new(&committer);
                while let Some(group) = committer.gather(&stop).await {
                    let group = nodes.hand_on(&mut session, group).await;
                    if !group.is_empty() {
                        committer.commit(&mut session, group).await;
                    }
                }
                nodes.stop().await;
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Waits for a submission and takes those behind it too, until they have [`INCREMENTS_PER_COMMIT_MAX`] increments.
    /// Returns `None` when the queue is closed and empty.
    async fn gather(&self, stop: &CancellationToken) -> Option<Vec<Submission>> {
        let mut queue = self.queue.lock().await;
        let first = tokio::select! {
            biased;
            () = stop.cancelled(), if !queue.is_closed() => {
                queue.close();
                queue.recv().await
            }
            first = queue.recv() => first,
        };
        Some(take_more(first?, &mut queue))
    }

    /// Spawns a task that commits what is in the returned queue, and ends when that is dropped.
    fn spawn(self: &Arc<Self>, mut session: Session, tasks: &TaskTracker) -> mpsc::Sender<Submission> {
        let (sender, mut queue) = mpsc::channel(self.capacity);
        let committer = Arc::clone(self);
        tasks.spawn(async move {
            while let Some(first) = queue.recv().await {
                let group = take_more(first, &mut queue);
                committer.commit(&mut session, group).await;
            }
        });
        sender
    }

    /// Commits `group` and answers its requests. When the database refuses a group because of one of its requests, the
    /// group is halved until that request is alone.
    async fn commit(&self, session: &mut Session, group: Vec<Submission>) {
        let mut groups = vec![group];
        while let Some(mut group) = groups.pop() {
            // After the deadline the caller has had an error, so the request need not be recorded any more.
            group.retain(|submission| Instant::now() < submission.deadline);
            let Some(last) = group.iter().map(|submission| submission.deadline).max() else { continue };
            let requests: Vec<_> = group.iter().map(|submission| &submission.request).collect();
            // The transaction has to begin before the last deadline. It may end later: a retry by key will find its
            // rows.
            let size: usize = requests.iter().map(|request| request.increments.len()).sum();
            let span = debug_span!("commit", commit.increments = size);
            let begun = Instant::now();
            let committed = self.commit_with_retries(session, &requests, last).instrument(span);
            let committed = tokio::select! {
                committed = timeout(self.timeout, committed) => committed.ok(),
                () = self.database.hurried() => None,
            };
            let committed = committed.unwrap_or(Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut)));
            match &committed {
                Ok(Committed { counted: Counted { increments, views, .. }, .. }) => {
                    self.commits.committed(size, *increments, *views, begun.elapsed());
                }
                Err(_) if requests.iter().all(|request| request.role == Role::Probe) => {}
                Err(_) => self.commits.failed(begun.elapsed()),
            }
            match committed {
                Err(StoreError::Refused(source)) if group.len() > 1 => {
                    warn!(error = &source as &dyn Error, group.requests = group.len(), "group refused, halving it");
                    let rest = group.split_off(group.len().div_euclid(2));
                    groups.extend([rest, group]);
                }
                result => answer(group, result),
            }
        }
    }

    /// Commits `requests`, with retries where the transaction has certainly not been committed.
    async fn commit_with_retries(
        &self,
        session: &mut Session,
        requests: &[&Request],
        begin_by: Instant,
    ) -> Result<Committed, StoreError> {
        let mut tries = 1;
        loop {
            match session.commit(&self.database.clock, requests, &self.known, begin_by).await {
                Err(StoreError::Conflict(_) | StoreError::Lost(_)) if tries < TRIES_MAX => {
                    sleep(RETRY_PAUSE * tries).await;
                    tries += 1;
                }
                result => return result,
            }
        }
    }
}

/// Takes the submissions behind the first one too, until they have [`INCREMENTS_PER_COMMIT_MAX`] increments.
fn take_more(first: Submission, queue: &mut mpsc::Receiver<Submission>) -> Vec<Submission> {
    let mut group = vec![first];
    let mut size = group[0].request.increments.len();
    while size < INCREMENTS_PER_COMMIT_MAX
        && let Ok(submission) = queue.try_recv()
    {
        size += submission.request.increments.len();
        group.push(submission);
    }
    group
}

/// Answers each submission of a group.
fn answer(group: Vec<Submission>, result: Result<Committed, StoreError>) {
    match result {
        Ok(committed) => {
            for (submission, outcome) in group.into_iter().zip(committed.counted.outcomes) {
                let recorded_at = committed.recorded_at;
                let answer = |duplicate, claim| Ok(Answer { recorded: Recorded { recorded_at, duplicate }, claim });
                submission.answer(match outcome {
                    Outcome::Counted => answer(false, None),
                    Outcome::Duplicate => answer(true, None),
                    Outcome::Claimed(claim) => answer(false, Some(claim)),
                    // The nodes that could count the rest are not known now.
                    Outcome::CountedInParts => Err(RecordError::Unavailable(None)),
                    Outcome::KeyReused => Err(RecordError::KeyReused),
                    Outcome::ImportedMeanwhile => Err(RecordError::ImportedMeanwhile),
                });
            }
        }
        Err(source) => {
            if group.iter().any(|submission| submission.request.role != Role::Probe) {
                error!(error = &source as &dyn Error, group.requests = group.len(), "increments not recorded");
            }
            let source = Arc::new(source);
            let error = match *source {
                StoreError::Refused(_) => RecordError::Refused(source),
                StoreError::Conflict(_)
                | StoreError::Lost(_)
                | StoreError::Unavailable(_)
                | StoreError::DiskFull(_) => RecordError::Unavailable(Some(source)),
            };
            for submission in group {
                submission.answer(Err(error.clone()));
            }
        }
    }
}

impl Submission {
    fn answer(self, result: Result<Answer, RecordError>) {
        // Sending fails only when the caller has stopped waiting.
        drop(self.reply.send(result));
    }
}

//! Group commit: all waiting requests are committed in one transaction, while the next group gathers.

use std::{collections::HashMap, error::Error, hash::Hash, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use storage::{Database, DatabaseKind};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, debug_span, error, warn};

use super::{
    increment::{Request, Role},
    known_pages::KnownPages,
    nodes::{LostNodes, Node, Nodes},
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
/// How much later than its deadline a request is answered, so that what is known of its parts then can be told.
const PARTS_MARGIN: Duration = Duration::from_millis(50);
/// After which time it is read again which node of a Citus cluster has which pages.
const NODES_AGE_MAX: Duration = Duration::from_secs(10);

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
        let room = Arc::clone(&self.room).try_acquire_many_owned(size.max(1));
        let (reply, answer) = oneshot::channel();
        let room = room.map_err(|_full| RecordError::Overloaded)?;
        let deadline = Instant::now() + self.timeout;
        let submission = Submission { request, reply, deadline, room: Some(room) };
        self.queue.try_send(submission).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RecordError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => RecordError::Unavailable(None),
        })?;
        let answer = timeout_at(deadline + PARTS_MARGIN, answer).await;
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

/// A committer for each node of a Citus cluster, so that a lost node holds up no pages of others.
struct NodeCommitters {
    committer: Arc<Committer>,
    nodes: Nodes,
    read_at: Option<Instant>,
    queues: HashMap<Node, mpsc::Sender<Submission>>,
    /// The queue of what the coordinator has to commit.
    coordinator: Option<mpsc::Sender<Submission>>,
    tasks: TaskTracker,
}

impl NodeCommitters {
    fn new(committer: &Arc<Committer>) -> Self {
        Self {
            committer: Arc::clone(committer),
            nodes: Nodes::default(),
            read_at: None,
            queues: HashMap::new(),
            coordinator: None,
            tasks: TaskTracker::new(),
        }
    }

    /// Hands on the submissions of `group` on a Citus cluster. Returns those that are still to be committed, elsewhere all.
    async fn hand_on(&mut self, session: &mut Session, group: Vec<Submission>) -> Vec<Submission> {
        if self.read_at.is_none_or(|read_at| read_at.elapsed() > NODES_AGE_MAX) {
            let read = timeout(self.committer.timeout, session.nodes()).await;
            match read.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(nodes) => {
                    self.queues.retain(|node, _| nodes.has(node));
                    self.committer.lost.retain(&nodes);
                    self.nodes = nodes;
                }
                // What is known is still good enough: nodes pass on what is not theirs any more.
                Err(error) => debug!(error = &error as &dyn Error, "can't read which node has which pages"),
            }
            self.read_at = Some(Instant::now());
            self.try_lost_nodes();
        }
        if self.nodes.is_empty() {
            return group;
        }
        group.into_iter().flat_map(|submission| self.hand_on_one(submission)).collect()
    }

    /// Has the committers of lost nodes try to connect again, since requests of several nodes do not go there meanwhile.
    fn try_lost_nodes(&self) {
        for queue in self.committer.lost.nodes().iter().filter_map(|node| self.queues.get(node)) {
            let (reply, _) = oneshot::channel();
            let deadline = Instant::now() + self.committer.timeout;
            drop(not_sent(queue, Submission { request: Request::probe(), reply, deadline, room: None }));
        }
    }

    /// Hands on a submission, or its parts. Returns what could not be handed on.
    fn hand_on_one(&mut self, submission: Submission) -> Vec<Submission> {
        let owners = self.nodes.owners(&submission.request).unwrap_or_default();
        let (committer, tasks, queues) = (&self.committer, &self.tasks, &mut self.queues);
        let mut queue_of = |node: &Node| match queues.get(node) {
            Some(queue) => queue.clone(),
            None => {
                let queue = committer.spawn(Session::of_node(&committer.database, node, committer.lost.clone()), tasks);
                queues.entry(node.clone()).or_insert(queue).clone()
            }
        };
        let spawn = || committer.spawn(Session::new(&committer.database), tasks);
        match owners.first() {
            Some(_) if submission.request.key.is_some() => {
                let coordinator = self.coordinator.get_or_insert_with(spawn).clone();
                let shards: Vec<_> = owners.iter().map(|owner| owner.shard).collect();
                let queues = owners.iter().map(|owner| (owner.shard, queue_of(owner.node))).collect();
                tasks.spawn(submission.claim_and_count(coordinator, shards, queues));
                Vec::new()
            }
            Some(first) if owners.iter().all(|owner| owner.node == first.node) => {
                Vec::from_iter(not_sent(&queue_of(first.node), submission))
            }
            // A node that is known to be lost leaves no request in part recorded.
            Some(_) if !committer.lost.has_any(&owners) => {
                let deadline = submission.deadline;
                let nodes: Vec<_> = owners.iter().map(|owner| owner.node).collect();
                let Divided { parts, answers, reply } = submission.divide(&nodes, Role::Whole);
                tasks.spawn(async move { drop(reply.send(of_parts(answers.until(deadline).await, false))) });
                parts.into_iter().filter_map(|(node, part)| not_sent(&queue_of(node), part)).collect()
            }
            _ => Vec::from_iter(not_sent(self.coordinator.get_or_insert_with(spawn), submission)),
        }
    }

    /// Waits until everything is committed.
    async fn stop(self) {
        drop((self.queues, self.coordinator));
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Sends a submission to a queue, and returns it if that fails. The queues are as long as the semaphore, so they are never full.
fn not_sent(queue: &mpsc::Sender<Submission>, submission: Submission) -> Option<Submission> {
    Some(queue.try_send(submission).err()?.into_inner())
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
    /// Divides the submission by what `by` tells of its increments.
    fn divide<K: Copy + Eq + Hash>(self, by: &[K], role: Role) -> Divided<K> {
        let Self { request, reply, deadline, mut room } = self;
        let (mut increments, mut answers) = (HashMap::new(), Answers::default());
        for (increment, by) in request.increments.into_iter().zip(by) {
            increments.entry(*by).or_insert_with(Vec::new).push(increment);
        }
        let mut part = |increments: Vec<_>| Self {
            deadline,
            room: room.as_mut().and_then(|room| room.split(increments.len())),
            request: Request {
                increments,
                key: None,
                replaces_titles: request.replaces_titles,
                import_step: None,
                role,
            },
            reply: answers.expect_one(),
        };
        let parts = increments.into_iter().map(|(by, increments)| (by, part(increments))).collect();
        Divided { parts, answers, reply }
    }

    /// Claims the key on the coordinator, and then has the nodes count the parts, one of each shard, that they have not counted for
    /// that claim. `shards` are those of the increments, and `queues` those of the shards' nodes. If some parts are not counted a
    /// retry of the request counts them.
    async fn claim_and_count(
        self,
        coordinator: mpsc::Sender<Self>,
        shards: Vec<usize>,
        queues: HashMap<usize, mpsc::Sender<Self>>,
    ) {
        let (mut claims, deadline) = (Answers::default(), self.deadline);
        let claim = Self { request: self.request.claim(), reply: claims.expect_one(), deadline, room: None };
        drop(not_sent(&coordinator, claim));
        let claimed = claims.until(deadline).await.pop().unwrap_or(Err(RecordError::Unavailable(None)));
        let claim = match claimed {
            Ok(Answer { claim: Some(claim), .. }) => claim,
            // Counted as a whole before, or not claimed.
            answered => return self.answer(answered),
        };
        let Divided { parts, answers, reply } = self.divide(&shards, Role::Part(claim));
        for (shard, part) in parts {
            drop(not_sent(&queues[&shard], part));
        }
        drop(reply.send(of_parts(answers.until(deadline).await, true)));
    }

    fn answer(self, result: Result<Answer, RecordError>) {
        // Sending fails only when the caller has stopped waiting.
        drop(self.reply.send(result));
    }
}

/// A submission that was divided.
struct Divided<K> {
    parts: HashMap<K, Submission>,
    answers: Answers,
    /// Where the answer to the whole is expected.
    reply: oneshot::Sender<Result<Answer, RecordError>>,
}

/// The answers that are expected to several submissions.
#[derive(Default)]
struct Answers(Vec<oneshot::Receiver<Result<Answer, RecordError>>>);

impl Answers {
    /// Returns where one more answer is expected.
    fn expect_one(&mut self) -> oneshot::Sender<Result<Answer, RecordError>> {
        let (reply, answer) = oneshot::channel();
        self.0.push(answer);
        reply
    }

    /// Waits for all until `deadline`. Then it is unknown whether the others were recorded.
    async fn until(self, deadline: Instant) -> Vec<Result<Answer, RecordError>> {
        let mut answers = Vec::new();
        for answer in self.0 {
            let answer = timeout_at(deadline, answer).await.ok().and_then(Result::ok);
            answers.push(answer.unwrap_or(Err(RecordError::Unavailable(None))));
        }
        answers
    }
}

/// Returns the answer to a request, of the answers to its parts. A retry counts the parts of a `keyed` one that are not counted.
fn of_parts(answers: Vec<Result<Answer, RecordError>>, keyed: bool) -> Result<Answer, RecordError> {
    let (mut recorded, mut refused, mut unknown) = (Vec::new(), None, None);
    for answer in answers {
        match answer {
            Ok(answer) => recorded.push(answer.recorded),
            Err(failure @ RecordError::Refused(_)) => refused = Some(failure),
            Err(failure) => unknown = Some(failure),
        }
    }
    match (recorded.is_empty(), refused, unknown) {
        (false, Some(_), None) => Err(RecordError::PartlyRecorded),
        (false, _, Some(_)) if !keyed => Err(RecordError::PartlyRecorded),
        (_, _, Some(failure)) | (true, Some(failure), None) => Err(failure),
        (_, None, None) => {
            let duplicate = recorded.iter().all(|recorded| recorded.duplicate);
            let last = recorded.into_iter().max_by_key(|recorded| recorded.recorded_at);
            let last = last.ok_or(RecordError::Unavailable(None))?;
            Ok(Answer { recorded: Recorded { duplicate, ..last }, claim: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the caller is told: the last time, or what is certain of all parts together.
    #[test]
    fn answer_is_of_all_parts() {
        let recorded = |seconds, duplicate| {
            let recorded_at = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds);
            Ok(Answer { recorded: Recorded { recorded_at, duplicate }, claim: None })
        };
        let refused = || Err(RecordError::Refused(Arc::new(StoreError::Refused(sqlx::Error::RowNotFound))));
        let unknown = || Err(RecordError::Unavailable(None));
        for keyed in [false, true] {
            let of_parts = |answers| of_parts(answers, keyed).map(|answer| answer.recorded);
            let last = of_parts(vec![recorded(1, true), recorded(3, false), recorded(2, true)]).unwrap();
            assert_eq!(last, recorded(3, false).unwrap().recorded);
            assert!(of_parts(vec![recorded(1, true), recorded(2, true)]).unwrap().duplicate);
            assert!(matches!(of_parts(vec![refused(), refused()]), Err(RecordError::Refused(_))));
            assert!(matches!(of_parts(vec![refused(), unknown()]), Err(RecordError::Unavailable(_))));
            assert!(matches!(of_parts(vec![refused(), recorded(1, false)]), Err(RecordError::PartlyRecorded)));
        }
        let cut = || vec![unknown(), recorded(1, false)];
        assert!(matches!(of_parts(cut(), false), Err(RecordError::PartlyRecorded)));
        assert!(matches!(of_parts(cut(), true), Err(RecordError::Unavailable(_))));
    }
}

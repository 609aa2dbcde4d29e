//! Recording on a Citus cluster: each node has a committer, and a request is divided by the nodes of its pages.

use std::{collections::HashMap, error::Error, hash::Hash, sync::Arc, time::Duration};

use storage::nodes::Node;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::{Answer, Committer, RecordError, Recorded, Submission};
use crate::{
    increment::{Request, Role},
    nodes::Nodes,
    store::Session,
};

/// How long before its deadline a request is answered from the parts that are known by then. At the deadline itself the caller
/// would be told that nothing is known.
const PARTS_MARGIN: Duration = Duration::from_millis(50);
/// After which time it is read again which node of a Citus cluster has which pages.
const NODES_AGE_MAX: Duration = Duration::from_secs(10);

/// A committer for each node of a Citus cluster, so that a lost node holds up no pages of others.
pub(super) struct NodeCommitters {
    committer: Arc<Committer>,
    nodes: Nodes,
    read_at: Option<Instant>,
    queues: HashMap<Node, mpsc::Sender<Submission>>,
    /// The queue of what the coordinator has to commit.
    coordinator: Option<mpsc::Sender<Submission>>,
    tasks: TaskTracker,
}

impl NodeCommitters {
    pub(super) fn new(committer: &Arc<Committer>) -> Self {
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
    pub(super) async fn hand_on(&mut self, session: &mut Session, group: Vec<Submission>) -> Vec<Submission> {
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
    pub(super) async fn stop(self) {
        drop((self.queues, self.coordinator));
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Sends a submission to a queue, and returns it if that fails. The queues are as long as the semaphore, so they are never full.
fn not_sent(queue: &mpsc::Sender<Submission>, submission: Submission) -> Option<Submission> {
    Some(queue.try_send(submission).err()?.into_inner())
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

    /// Waits for all until shortly before `deadline`. Then it is unknown whether the others were recorded.
    async fn until(self, deadline: Instant) -> Vec<Result<Answer, RecordError>> {
        let (until, mut answers) = (deadline - PARTS_MARGIN, Vec::new());
        for answer in self.0 {
            let answer = timeout_at(until, answer).await.ok().and_then(Result::ok);
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
    use chrono::DateTime;

    use super::*;
    use crate::store::StoreError;

    /// A request is recorded when its last part is. If parts have failed, the answer tells what is certain of all of them.
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

//! The fields that change what was counted, and tell how far these changes are: mutations that hand jobs over, queries and
//! a subscription.

use async_graphql::{
    ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject, Subscription, connection::PageInfo,
};
use chrono::{DateTime, Datelike, Utc};
use entity::Hour;
use futures_util::{Stream, StreamExt, stream};
use jobs::{CORRECTION_MAX, JobKey, JobRequest, Jobs, REASON_BYTES_MAX, Task};
use storage::clock;

use super::{
    ViewCell,
    errors::{self, error},
    inputs::{self, PageFilter},
    newest_first::{AskedItems, ShownItems},
    scalars::SafeInt,
};
use crate::{access::ManagingTerms, error_code::Code};
use increments::{BackDating, IdempotencyKey, PageName, check_at, is_allowed_in_names};

/// The mutations that need the scope `manage`.
pub(super) const MANAGING_MUTATIONS: [&str; 6] =
    ["renamePage", "removePages", "removeViews", "correctViews", "undoImport", "requestRefresh"];
/// The fields of queries and subscriptions that need the scope `manage`.
pub(super) const JOB_FIELDS: [&str; 2] = ["job", "jobs"];

/// The years that what is removed may begin and end in: those of a range.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9_999;

/// A change of what was counted. The Wolf makes it as a whole, or refuses it.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct Job {
    /// Jobs are done in the order of their ids.
    id: ID,
    /// What kind of change it is.
    kind: JobKind,
    /// How far it is.
    status: JobStatus,
    /// Why it was asked for, in the words of who did.
    reason: Option<String>,
    /// When it was asked for.
    requested_at: DateTime<Utc>,
    /// When it ended; null before.
    finished_at: Option<DateTime<Utc>>,
    /// How many pages it has changed so far. A page on which two refreshes have worked may count twice.
    pages: SafeInt,
    /// How many views it has moved, added or taken away so far; of a correction that takes views away below zero.
    views: SafeInt,
    /// Why it was refused; null if it was not.
    error: Option<String>,
}

/// What kind of change a job is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "jobs::Kind")]
pub(crate) enum JobKind {
    /// Of `renamePage`.
    RenamePage,
    /// Of `removePages` and of `removeViews`.
    RemoveViews,
    /// Of `correctViews`.
    CorrectViews,
    /// Of `undoImport`.
    UndoImport,
}

/// How far a job is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "jobs::Status")]
pub(crate) enum JobStatus {
    /// It waits for the next refresh.
    Queued,
    /// A refresh has begun it.
    Running,
    /// All of it is done, and in the report.
    Done,
    /// It could not be done: nothing was changed, and `error` says why.
    Refused,
}

/// A job that was handed over.
#[derive(Debug, SimpleObject)]
pub(crate) struct JobPayload {
    /// The job, which the next refresh does.
    job: Job,
    /// The job has ended, and what it changed is in the report, once `freshness.asOf` is at or after it.
    recorded_at: DateTime<Utc>,
    /// True when the idempotency key had been seen: `job` is the one of then.
    duplicate: bool,
}

/// A refresh that was asked for.
#[derive(Debug, SimpleObject)]
pub(crate) struct RequestRefreshPayload {
    /// To be used as `notBefore`: `freshness.asOf` is at or after it once a refresh has ended that began after the request.
    requested_at: DateTime<Utc>,
}

/// Jobs, newest first.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct JobConnection {
    /// The jobs with their cursors.
    edges: Vec<JobEdge>,
    /// Whether there are more.
    page_info: PageInfo,
}

/// One job and where it stands.
#[derive(Debug, SimpleObject)]
pub(crate) struct JobEdge {
    /// To go on behind it, give it as `after`.
    cursor: String,
    /// The job.
    node: Job,
}

/// A page that gets another name.
#[derive(Debug, InputObject)]
pub(crate) struct RenamePageInput {
    /// The page's name.
    from: String,
    /// The name that it gets, as of any page. Views of a page that has this name already are added to it; its title stays.
    to: String,
    /// Whether views that are recorded by the old name later count for the page, too.
    #[graphql(default)]
    keep_alias: bool,
    /// Why: at most 1,024 bytes, no control characters. It is kept and listed with the job.
    reason: Option<String>,
    /// Hands one job over however often its client sends it. At most 128 characters.
    idempotency_key: Option<String>,
}

/// Pages to be removed.
#[derive(Debug, InputObject)]
pub(crate) struct RemovePagesInput {
    /// The pages: those that a report with this filter has. Each of `names` has to be a page or an alias.
    pages: PageFilter,
    /// Why: at most 1,024 bytes, no control characters. It is kept and listed with the job.
    reason: Option<String>,
    /// Hands one job over however often its client sends it. At most 128 characters.
    idempotency_key: Option<String>,
}

/// Views to be removed.
#[derive(Debug, InputObject)]
pub(crate) struct RemoveViewsInput {
    /// A whole hour of UTC, the first one; from the beginning when left out.
    start: Option<DateTime<Utc>>,
    /// A whole hour of UTC, the first one that is kept.
    end: DateTime<Utc>,
    /// Of which pages; of all when left out. Each of `names` has to be a page or an alias.
    pages: Option<PageFilter>,
    /// Why: at most 1,024 bytes, no control characters. It is kept and listed with the job.
    reason: Option<String>,
    /// Hands one job over however often its client sends it. At most 128 characters.
    idempotency_key: Option<String>,
}

/// Views to be added to a page in an hour, or to be taken away.
#[derive(Debug, InputObject)]
pub(crate) struct CorrectViewsInput {
    /// The page's name, or an alias of it.
    page: String,
    /// A whole hour of UTC, from the year 2000 to now.
    hour: DateTime<Utc>,
    /// How many: -1,000,000,000 to 1,000,000,000, and not 0. No more can be taken away than there are.
    views: SafeInt,
    /// Why: 1 to 1,024 bytes, no control characters. It is kept and listed with the job.
    reason: String,
    /// Hands one job over however often its client sends it. At most 128 characters.
    idempotency_key: Option<String>,
}

/// An import to be undone.
#[derive(Debug, InputObject)]
pub(crate) struct UndoImportInput {
    /// The import's number, which `analytics imports` lists.
    import_id: ID,
    /// Why: at most 1,024 bytes, no control characters. It is kept and listed with the job.
    reason: Option<String>,
    /// Hands one job over however often its client sends it. At most 128 characters.
    idempotency_key: Option<String>,
}

/// The mutations that hand jobs over.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ManagingMutations;

/// The fields of jobs.
#[derive(Copy, Clone, Debug)]
pub(crate) struct JobQueries;

/// The subscription to a job.
#[derive(Copy, Clone, Debug)]
pub(crate) struct JobSubscriptions;

#[Object]
impl ManagingMutations {
    /// Give a page another name, or add its views to another page. Its history moves along, and so does its title if the
    /// other page has none.
    async fn rename_page(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to rename.")] input: RenamePageInput,
    ) -> async_graphql::Result<JobPayload> {
        let RenamePageInput { from, to, keep_alias, reason, idempotency_key } = input;
        let [from, to] = [page_name("input.from", from)?, page_name("input.to", to)?];
        submit(context, "input.from", Task::RenamePage { from, to, keep_alias }, reason, idempotency_key).await
    }

    /// Remove pages with their titles, all their views and their aliases, as if they had never been viewed.
    async fn remove_pages(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to remove.")] input: RemovePagesInput,
    ) -> async_graphql::Result<JobPayload> {
        let RemovePagesInput { pages, reason, idempotency_key } = input;
        let task = Task::RemoveViews { pages: Some(pages.select("input.pages")?), start: None, end: None };
        submit(context, "input.pages.names", task, reason, idempotency_key).await
    }

    /// Remove the views of a time. Pages that have no others are removed with them.
    async fn remove_views(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to remove.")] input: RemoveViewsInput,
    ) -> async_graphql::Result<JobPayload> {
        let RemoveViewsInput { start, end, pages, reason, idempotency_key } = input;
        let start = start.map(|start| whole_hour("input.start", start)).transpose()?;
        let end = whole_hour("input.end", end)?;
        if start.is_some_and(|start| start >= end) {
            return Err(error(Code::BadUserInput, "input.end must be after input.start"));
        }
        let pages = pages.map(|pages| pages.select("input.pages")).transpose()?;
        let task = Task::RemoveViews { pages, start, end: Some(end) };
        submit(context, "input.pages.names", task, reason, idempotency_key).await
    }

    /// Add views to a page in an hour, or take them away.
    async fn correct_views(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to correct.")] input: CorrectViewsInput,
    ) -> async_graphql::Result<JobPayload> {
        let CorrectViewsInput { page, hour, views: SafeInt(views), reason, idempotency_key } = input;
        let page = page_name("input.page", page)?;
        let hour = whole_hour("input.hour", hour)?;
        check_at(hour, clock::process_now(), BackDating::Any)
            .map_err(|invalid| error(Code::BadUserInput, invalid.of_field("input.hour")))?;
        if views == 0 || views.abs() > CORRECTION_MAX {
            let message = format!("input.views must be -{CORRECTION_MAX} to {CORRECTION_MAX} and not 0, not {views}");
            return Err(error(Code::BadUserInput, message));
        }
        if reason.trim().is_empty() {
            let message = format!("input.reason must be 1 to {REASON_BYTES_MAX} bytes long, and not of spaces only");
            return Err(error(Code::BadUserInput, message));
        }
        let task = Task::CorrectViews { page, hour, views };
        submit(context, "input.page", task, Some(reason), idempotency_key).await
    }

    /// Take back what an import has counted.
    async fn undo_import(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "What to undo.")] input: UndoImportInput,
    ) -> async_graphql::Result<JobPayload> {
        let UndoImportInput { import_id, reason, idempotency_key } = input;
        let import = number("input.importId", &import_id)?;
        submit(context, "input.importId", Task::UndoImport { import }, reason, idempotency_key).await
    }

    /// Ask for a refresh before the next one of the schedule. Requests that wait share one refresh, and the Wolf begins at most
    /// one in a second, unless it is set otherwise.
    async fn request_refresh(&self, context: &Context<'_>) -> async_graphql::Result<RequestRefreshPayload> {
        let requested_at = Box::pin(handle(context)?.request_refresh()).await;
        Ok(RequestRefreshPayload { requested_at: requested_at.map_err(|failure| errors::of_database(&failure))? })
    }
}

#[Object]
impl JobQueries {
    /// A job by its id; null if there is none.
    async fn job(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The job's id.")] id: ID,
    ) -> async_graphql::Result<Option<Job>> {
        let found = Box::pin(handle(context)?.find(number("job.id", &id)?)).await;
        Ok(found.map_err(|failure| errors::of_database(&failure))?.map(Job::from))
    }

    /// Jobs, newest first: those that wait, and those that have ended.
    #[graphql(complexity = "inputs::list_complexity(first, child_complexity)")]
    async fn jobs(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many jobs: 0 to 1,000, 10 when left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the job to go on behind; from the newest when left out.")] after: Option<
            String,
        >,
    ) -> async_graphql::Result<JobConnection> {
        let asked = AskedItems::parse("jobs", "job", first, after)?;
        let read = Box::pin(handle(context)?.newest(asked.before, asked.read_max())).await;
        let read = read.map_err(|failure| errors::of_database(&failure))?;
        let texts = |job: &jobs::Job| job.reason.iter().chain(&job.error).map(String::len).sum();
        let ShownItems { items, page_info } = asked.show(context, read, |job| job.id, texts).await?;
        let edges = items.into_iter().map(|(cursor, job)| JobEdge { cursor, node: job.into() }).collect();
        Ok(JobConnection { edges, page_info })
    }
}

#[Subscription]
impl JobSubscriptions {
    /// The job now, and again whenever it has changed, looked at once a second. It ends when the job has ended.
    async fn job(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The job's id.")] id: ID,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Job>> + use<>> {
        let id = number("job.id", &id)?;
        let mut following = Box::pin(handle(context)?.follow(id));
        let Some(first) = following.next().await else {
            return Err(error(Code::BadUserInput, "job.id: there is no job with this id"));
        };
        let events = stream::iter([first]).chain(following);
        Ok(events.map(|job| job.map(Job::from).map_err(|failure| errors::of_database(&failure))))
    }
}

/// Returns the handle of jobs for a client that may manage.
///
/// Errs when the operation was not authorized so.
fn handle<'a>(context: &Context<'a>) -> async_graphql::Result<&'a Jobs> {
    context.data::<ManagingTerms>()?;
    context.data::<ViewCell>()?.note_more();
    context.data()
}

/// Hands the job over. `field` is what an error about the pages or the import is about.
async fn submit(
    context: &Context<'_>,
    field: &str,
    task: Task,
    reason: Option<String>,
    key: Option<String>,
) -> async_graphql::Result<JobPayload> {
    let client = &context.data::<ManagingTerms>()?.client;
    let key = key.map(|key| IdempotencyKey::of_client(key, client.clone())).transpose();
    let key = key.map_err(|invalid| errors::of_invalid(&invalid, "input."))?;
    let key = key.map(|key| JobKey::new(client.id(), client.id_before_its_name(), key.text()));
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    reason.as_deref().map_or(Ok(()), check_reason)?;
    let submitted = handle(context)?.submit(JobRequest { task, reason, key }).await;
    let submitted = submitted.map_err(|failure| errors::of_job(&failure, field))?;
    Ok(JobPayload { job: submitted.job.into(), recorded_at: submitted.recorded_at, duplicate: submitted.duplicate })
}

fn check_reason(reason: &str) -> async_graphql::Result<()> {
    let problem = if reason.len() > REASON_BYTES_MAX {
        format!("be at most {REASON_BYTES_MAX} bytes long, not {}", reason.len())
    } else if !reason.chars().all(is_allowed_in_names) {
        "not have control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(error(Code::BadUserInput, format!("input.reason must {problem}")))
}

/// Checks the name of a page, which is the value of `field`.
fn page_name(field: &str, name: String) -> async_graphql::Result<String> {
    let checked = PageName::new(name).map_err(|invalid| error(Code::BadUserInput, invalid.of_field(field)))?;
    Ok(checked.as_str().to_owned())
}

/// Returns the time if it is the beginning of an hour.
fn whole_hour(field: &str, at: DateTime<Utc>) -> async_graphql::Result<DateTime<Utc>> {
    if !YEARS.contains(&at.year()) {
        let message = format!("{field} must lie in the years {} to {}", YEARS.start(), YEARS.end());
        return Err(error(Code::BadUserInput, message));
    }
    if Hour::containing(at).start() != at {
        let message = format!("{field} must be a whole hour of UTC, such as 2026-11-20T10:00:00Z, not {at:?}");
        return Err(error(Code::BadUserInput, message));
    }
    Ok(at)
}

/// Reads an id that is a number.
fn number(field: &str, id: &ID) -> async_graphql::Result<i64> {
    id.parse().map_err(|_no_number| error(Code::BadUserInput, format!("{field} must be the digits of a whole number")))
}

#[ComplexObject]
impl JobConnection {
    /// The jobs without their cursors.
    async fn nodes(&self) -> Vec<Job> {
        self.edges.iter().map(|edge| edge.node.clone()).collect()
    }
}

impl From<jobs::Job> for Job {
    fn from(job: jobs::Job) -> Self {
        Self {
            id: job.id.into(),
            kind: job.kind.into(),
            status: job.status.into(),
            reason: job.reason,
            requested_at: job.requested_at,
            finished_at: job.finished_at,
            pages: SafeInt(job.pages),
            views: SafeInt(job.views),
            error: job.error,
        }
    }
}

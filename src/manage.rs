//! The commands that change what was counted: each shows what it will do, asks, hands a job over and refreshes the report,
//! which does the job.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::UTC;
use increments::imports::ImportLog;
use jobs::{Job, JobRequest, Jobs, PageSelection, Status, Task};
use reports::{
    Calendar, Interval, IntervalChoice, PageFilter, PageSearch, Period, ReportReader, ReportSettings, ReportView,
    freshness::FreshnessFeed,
};
use storage::Database;
use wolf::{LockMode, Refresher};

use crate::{
    cli::{
        CommonSettings,
        manage::{
            ChangeSettings, CorrectSettings, PagesCommand, RemovePagesSettings, RemoveViewsSettings, RenameSettings,
            UndoSettings, ViewsCommand,
        },
    },
    database,
    terminal::{self, Progress},
};

/// The most jobs that are listed.
const JOBS_LISTED_MAX: u64 = 1_000;
/// The refreshes within which a job has to end. One does it, unless it has waited for another process that was ahead.
const REFRESHES_MAX: u32 = 3;
/// The answer that confirms a change.
const CONFIRMED: &str = "yes";

/// The error that a change can't be confirmed.
#[derive(Debug, thiserror::Error)]
#[error("this asks on a terminal whether to go on, and standard input is none; to go on without being asked: --yes")]
pub(crate) struct NotConfirmed;

/// A change that is about to be made.
struct Change<'a> {
    settings: &'a ChangeSettings,
    database: Database,
    refresher: Refresher,
}

/// Runs `analytics pages`.
pub(crate) async fn pages(command: PagesCommand) -> anyhow::Result<()> {
    match command {
        PagesCommand::Rename(settings) => rename(settings).await,
        PagesCommand::Remove(settings) => remove_pages(settings).await,
    }
}

/// Runs `analytics views`.
pub(crate) async fn views(command: ViewsCommand) -> anyhow::Result<()> {
    match command {
        ViewsCommand::Remove(settings) => remove_views(settings).await,
        ViewsCommand::Correct(settings) => correct(settings).await,
    }
}

async fn rename(settings: RenameSettings) -> anyhow::Result<()> {
    let RenameSettings { from, to, keep_alias, change, common } = settings;
    let change = Change::begin(&change, common, false).await?;
    let task = Task::RenamePage { from: from.clone(), to: to.clone(), keep_alias };
    change.check(&task).await?;
    let view = change.view().await?;
    let names: Arc<[String]> = [from, to].into();
    let views = view.views_of(all_time(&view).await?, &names).await?;
    let (Some(from), Some(to), [moved, there]) = (names.first(), names.get(1), &*views) else {
        bail!("the report has not told the views of the pages");
    };
    let target = match view.viewed(&names).await?.get(1) {
        Some(Some(_)) => format!("they are added to the {} of {to}", counted(*there, "view")),
        _ => format!("the page gets the name {to}"),
    };
    let preview = format!("{from} has {}; {target}\n", counted(*moved, "view"));
    let preview =
        if keep_alias { preview + "later views of the old name will count for the new one\n" } else { preview };
    change.make(task, view, &preview, |job| format!("moved {}", counted(job.views, "view"))).await
}

async fn remove_pages(settings: RemovePagesSettings) -> anyhow::Result<()> {
    let RemovePagesSettings { pages, start, end, change, common } = settings;
    let takes_input = pages.take_standard_input();
    can_confirm(&change, takes_input)?;
    let pages = pages.select()?;
    let change = Change::begin(&change, common, takes_input).await?;
    change.remove(Some(pages), start, end).await
}

async fn remove_views(settings: RemoveViewsSettings) -> anyhow::Result<()> {
    let RemoveViewsSettings { before, start, end, change, common } = settings;
    let change = Change::begin(&change, common, false).await?;
    change.remove(None, start, end.or(before)).await
}

async fn correct(settings: CorrectSettings) -> anyhow::Result<()> {
    let CorrectSettings { page, hour, views, change, common } = settings;
    if change.reason.is_none() {
        return Err(NoReason.into());
    }
    let change = Change::begin(&change, common, false).await?;
    let task = Task::CorrectViews { page: page.clone(), hour, views };
    change.check(&task).await?;
    let view = change.view().await?;
    let interval = Interval::of_range(hour, hour + TimeDelta::hours(1))?;
    let there = view.views(interval, &Arc::new(PageFilter::Names(vec![page.clone()]))).await?;
    let hour = hour.to_rfc3339_opts(SecondsFormat::Secs, true);
    let preview = format!("{page} has {} in the hour of {hour}; {views:+}\n", counted(there, "view"));
    let done = |job: &Job| match job.views {
        views if views < 0 => format!("took away {}", counted(-views, "view")),
        views => format!("added {}", counted(views, "view")),
    };
    change.make(task, view, &preview, done).await
}

/// Takes back what an import has counted.
pub(crate) async fn undo(settings: UndoSettings, common: CommonSettings) -> anyhow::Result<()> {
    let UndoSettings { import, change } = settings;
    let change = Change::begin(&change, common, false).await?;
    let task = Task::UndoImport { import };
    change.check(&task).await?;
    let log = ImportLog::new(&change.database);
    let imports = log.imports().await.context("can't read the imports")?;
    let source = imports.into_iter().find(|known| known.id == import).map(|import| import.source).unwrap_or_default();
    let counted_by = log.views_by(import).await.context("can't read what the import has counted")?;
    let preview = format!("the import of {source} has counted {}\n", counted(counted_by, "view"));
    let view = change.view().await?;
    let done = |job: &Job| format!("took back {} of {}", counted(job.views.abs(), "view"), counted(job.pages, "page"));
    change.make(task, view, &preview, done).await
}

/// Prints a table of the jobs, newest first.
pub(crate) async fn list(settings: CommonSettings) -> anyhow::Result<()> {
    let database = database::open(&settings.connection.into(), false).await?;
    let jobs = Jobs::new(&database).newest(None, JOBS_LISTED_MAX).await.context("can't read the jobs")?;
    let header = ["JOB", "CHANGE", "STATUS", "ASKED FOR", "ENDED", "PAGES", "VIEWS", "REASON", "REFUSED BECAUSE"];
    let mut rows = vec![header.map(str::to_owned)];
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    rows.extend(jobs.into_iter().map(|job| {
        let ended = job.finished_at.map(time).unwrap_or_default();
        let [kind, status] = [kind(&job), status(job.status)].map(str::to_owned);
        let (pages, views) = (job.pages.to_string(), job.views.to_string());
        let [reason, error] = [job.reason, job.error].map(Option::unwrap_or_default);
        [job.id.to_string(), kind, status, time(job.requested_at), ended, pages, views, reason, error]
    }));
    for line in terminal::columns(&rows) {
        terminal::print(&format!("{line}\n"));
    }
    Ok(database.close().await?)
}

/// The error that a correction has no reason.
#[derive(Debug, thiserror::Error)]
#[error("a correction needs a reason: --reason TEXT")]
pub(crate) struct NoReason;

impl<'a> Change<'a> {
    /// Opens the database and refreshes the report, so that the preview is right.
    ///
    /// # Errors
    /// [`NotConfirmed`] before anything is done, if nobody could be asked.
    async fn begin(settings: &'a ChangeSettings, common: CommonSettings, takes_input: bool) -> anyhow::Result<Self> {
        can_confirm(settings, takes_input)?;
        let database = database::open(&common.connection.into(), false).await?;
        let refresher = Refresher::new(&database);
        let change = Self { settings, database, refresher };
        change.refresh().await?;
        Ok(change)
    }

    async fn refresh(&self) -> anyhow::Result<()> {
        let progress = Progress::start("refreshing the report");
        let show = |done, all| progress.set("stale hours", done, all);
        self.refresher.refresh_with_progress(LockMode::Wait, None, &show).await?;
        Ok(())
    }

    async fn check(&self, task: &Task) -> anyhow::Result<()> {
        Ok(Jobs::new(&self.database).check(task).await?)
    }

    /// Returns a view of the report.
    async fn view(&self) -> anyhow::Result<ReportView> {
        let (feed, _listener) = FreshnessFeed::new(&self.database);
        let reader = ReportReader::new(&self.database, feed, &ReportSettings { cache_bytes: 0 });
        Ok(reader.uncached_view().await?)
    }

    async fn remove(
        self,
        pages: Option<PageSelection>,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    ) -> anyhow::Result<()> {
        let task = Task::RemoveViews { pages: pages.clone(), start, end };
        self.check(&task).await?;
        let view = self.view().await?;
        let whole = all_time(&view).await?;
        let [start, end] = [start.unwrap_or(whole.start.start()), end.unwrap_or(whole.end.start())];
        let interval = Interval::of_range(start.min(end), end)?;
        let filter = Arc::new(pages.map_or(PageFilter::All, filter_of));
        let views = view.views(interval, &filter).await?;
        let pages = view.page_count(interval, &filter).await?;
        let preview = format!("{} of {} will be removed for good\n", counted(views, "view"), counted(pages, "page"));
        let done =
            |job: &Job| format!("removed {} of {}", counted(job.views.abs(), "view"), counted(job.pages, "page"));
        self.make(task, view, &preview, done).await
    }

    /// Shows the preview, asks, hands the job over, and refreshes the report until the job has ended.
    async fn make(
        self,
        task: Task,
        view: ReportView,
        preview: &str,
        done: impl Fn(&Job) -> String,
    ) -> anyhow::Result<()> {
        let as_of = view.freshness().as_of.map(|as_of| as_of.to_rfc3339_opts(SecondsFormat::Secs, true));
        // Its transaction ends before somebody is waited for.
        drop(view);
        terminal::print(preview);
        if !self.settings.yes {
            let as_of = as_of.map(|as_of| format!("as of {as_of}; ")).unwrap_or_default();
            let answer = terminal::ask(&format!("{as_of}go on? (yes/no) "))?;
            if answer.trim() != CONFIRMED {
                bail!("nothing was changed");
            }
        }
        let jobs = Jobs::new(&self.database);
        let submitted = jobs.submit(JobRequest { task, reason: self.settings.reason.clone(), key: None }).await?;
        let id = submitted.job.id;
        for _ in 0..REFRESHES_MAX {
            self.refresh().await?;
            let job = jobs.find(id).await?.ok_or_else(|| anyhow!("the job {id} is gone"))?;
            match (job.status, &job.error) {
                (Status::Done, _) => {
                    terminal::print(&format!("{}\n", done(&job)));
                    return Ok(self.database.close().await?);
                }
                (Status::Refused, Some(why)) => bail!("nothing was changed: {why}"),
                (Status::Refused, None) => bail!("nothing was changed"),
                (Status::Queued | Status::Running, _) => {}
            }
        }
        bail!("the job {id} was handed over, and waits for a refresh (`analytics jobs` lists it)")
    }
}

/// Errs when a change has to be confirmed and nobody can be asked.
fn can_confirm(settings: &ChangeSettings, takes_input: bool) -> Result<(), NotConfirmed> {
    if settings.yes || (!takes_input && io::stdin().is_terminal()) { Ok(()) } else { Err(NotConfirmed) }
}

async fn all_time(view: &ReportView) -> anyhow::Result<Interval> {
    let calendar = Calendar::new(UTC, view.freshness().hours_since);
    let first = view.first_hour().await?;
    Ok(IntervalChoice::Period(Period::AllTime).interval(calendar, || view.present_hour(), first))
}

fn filter_of(pages: PageSelection) -> PageFilter {
    match pages {
        PageSelection::Names(names) => PageFilter::Names(names),
        PageSelection::Prefix(prefix) => PageFilter::Prefix(prefix),
        PageSelection::Contains(part) => PageFilter::Contains(part),
        PageSelection::Search { text, ignore_case } => PageFilter::Search(PageSearch::new(&text, ignore_case)),
        PageSelection::Combined { any, not } => {
            let filters = |selections: Vec<_>| selections.into_iter().map(filter_of).collect();
            PageFilter::combined(any.map(filters), filters(not))
        }
    }
}

fn counted(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn kind(job: &Job) -> &'static str {
    match job.kind {
        jobs::Kind::RenamePage => "rename page",
        jobs::Kind::RemoveViews => "remove views",
        jobs::Kind::CorrectViews => "correct views",
        jobs::Kind::UndoImport => "undo import",
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Done => "done",
        Status::Refused => "refused",
    }
}

//! Jobs: changes of what was counted, handed over as rows of `jobs` and done by refreshes.
//!
//! A refresh does all jobs that it finds, in order, after the stale hours are merged and before it records its `asOf`. So
//! everything that was recorded before a job is in the report when the job begins, and `asOf` at or after a job's
//! `recordedAt` means that it has ended.
//!
//! A job is done in portions. Each is one transaction that changes the counts and brings the report's rows of the same days
//! to them, so that the sums add up at every moment. A job that a crash has cut goes on with what is left: what a portion
//! has taken is not found again. So refreshes of two processes can do the portions of one job in turns. A materialized view
//! has no portions: there the counts change first, and the view is refreshed when all jobs are done.

mod finder;
mod imports;
mod pace;
mod portion_size;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use chrono::{DateTime, Utc};
use entity::{
    Hour, import,
    job::{self, PageSelection, Status, Task},
    page, stale_hour,
};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{Set, Unchanged},
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use storage::{Transaction, clock::Clock};
use tracing::info;

pub(crate) use self::pace::Pace;
use self::{finder::Finder, imports::Position, portion_size::PortionSize};
use crate::{
    aliases,
    counts::{self, Bounds},
    error::{Context, WolfError},
    merge, pages, recount,
    report_kind::ReportKind,
    sent::Bucketed,
    site_rows::Bucket,
    top_pages::TopPages,
};

/// What fails when a statement does.
const JOB: &str = "do a job";
/// How many pages are looked through at a time.
const PAGES_PER_LOOK: u64 = 1_000;
/// For how long after a job a page may be missing that a recorder still knows: it writes a page again after a minute.
const PAGES_MISSING_MAX: chrono::TimeDelta = chrono::TimeDelta::minutes(5);
/// How long the rows of ended jobs are kept.
pub(crate) const ENDED_KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);

/// Does the jobs of one refresh.
#[derive(Debug)]
pub(crate) struct JobRunner {
    clock: Clock,
    top_pages: TopPages,
    /// The newest job of this refresh.
    newest: i64,
    running: Option<Running>,
    portion: PortionSize,
}

/// The result of one portion.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Portion {
    /// The number of report rows that changed.
    pub(crate) rows_changed: u64,
    /// Whether all jobs are done.
    pub(crate) is_last: bool,
}

/// The job that is being done.
#[derive(Debug)]
struct Running {
    job: job::Model,
    work: Work,
    /// Hashes of the names of the pages that this refresh has found.
    pages: HashSet<u64>,
    lost_flags: BTreeSet<Bucket>,
}

/// What is left of a job.
#[derive(Debug)]
enum Work {
    /// What imports have stored is rewritten, and then counts are removed.
    Remove {
        selection: Option<PageSelection>,
        found: HashSet<String>,
        bounds: Bounds,
        stored: Option<Position>,
        finder: Finder,
    },
    /// What imports have stored is rewritten, and then counts are moved.
    Rename {
        from: String,
        to: String,
        keep_alias: bool,
        stored: Option<Position>,
        finder: Finder,
    },
    Correct {
        page: String,
        hour: Hour,
        views: i64,
    },
    Undo {
        import: i64,
    },
    /// The task of another program.
    Unknown {
        error: String,
    },
}

/// What a portion of one job did.
#[derive(Debug, Default)]
struct Step {
    /// The days whose counts have changed.
    days: BTreeSet<Bucketed>,
    /// By how many views.
    views: i64,
    /// Whether the job has nothing left to do.
    is_last: bool,
}

/// Returns the id of the newest job that waits.
pub(crate) async fn newest_waiting<C: ConnectionTrait>(db: &C) -> Result<Option<i64>, DbErr> {
    let waiting = job::Entity::find().select_only().column(job::Column::Id).filter(job::Column::FinishedAt.is_null());
    waiting.order_by_desc(job::Column::Id).into_tuple().one(db).await
}

/// Returns whether jobs remove pages or have done so lately: recorders may still know them, and the log of an SQLite file may
/// have their names.
pub(crate) async fn have_removed_lately<C: ConnectionTrait>(db: &C, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let lately = job::Entity::find()
        .filter(job::Column::Kind.is_in([job::Kind::RemoveViews, job::Kind::RenamePage]))
        .filter(job::Column::FinishedAt.is_null().or(job::Column::FinishedAt.gt(now - PAGES_MISSING_MAX)));
    Ok(lately.one(db).await?.is_some())
}

impl JobRunner {
    /// Does the jobs up to `newest`.
    pub(crate) fn new(clock: &Clock, top_pages: TopPages, newest: i64) -> Self {
        Self { clock: clock.clone(), top_pages, newest, running: None, portion: PortionSize::default() }
    }

    /// Does the next portion, in a transaction that holds the refresh lock.
    pub(crate) async fn portion(&mut self, transaction: &Transaction) -> Result<Portion, WolfError> {
        let begun = self.clock.monotonic();
        // Another process may have converted the report since the last portion.
        let kind = ReportKind::read(transaction).await.context("read the report's kind")?;
        if self.running.is_none() && !self.begin(transaction).await.context(JOB)? {
            return Ok(Portion { rows_changed: 0, is_last: true });
        }
        let Some(mut running) = self.running.take() else { return Ok(Portion { rows_changed: 0, is_last: true }) };
        if !running.read_again(transaction).await.context(JOB)? {
            self.top_pages.unpublish_few(transaction, running.lost_flags).await.context(JOB)?;
            return Ok(Portion { rows_changed: 0, is_last: false });
        }
        let now = self.clock.database_now(transaction).await.context(JOB)?;
        // A job that has begun is not refused any more: what it has changed is not there to be looked for.
        if running.job.status == Status::Queued
            && let Some(reason) = refusal(transaction, &running.work).await.context(JOB)?
        {
            running.end(transaction, now, Some(reason), true).await.context(JOB)?;
            return Ok(Portion { rows_changed: 0, is_last: false });
        }
        let step = running.work.step(transaction, kind, self.portion.days(), now).await?;
        running.job.views += step.views;
        let new_pages = step.days.iter().filter(|(_, name)| running.pages.insert(hash(name))).count();
        running.job.pages += i64::try_from(new_pages).unwrap_or(i64::MAX);
        let mut rows_changed = 0;
        match kind {
            ReportKind::Table => {
                let recounted = recount::recount(transaction, &step.days, self.top_pages).await?;
                pages::delete(transaction, &recounted.gone).await.context(JOB)?;
                running.lost_flags.extend(recounted.lost_flags);
                rows_changed = recounted.rows_changed;
                if step.is_last {
                    let lost = std::mem::take(&mut running.lost_flags);
                    self.top_pages.unpublish_few(transaction, lost).await.context(JOB)?;
                }
            }
            // If the process dies before the view is refreshed, the next refresh has to know that it has to be.
            ReportKind::MaterializedView => {
                if let Some((date, _)) = step.days.first() {
                    let mark = stale_hour::ActiveModel { date: Set(*date), hour: Set(0), ..Default::default() };
                    mark.insert(transaction).await.context(JOB)?;
                }
            }
        }
        if step.is_last {
            running.end(transaction, now, None, kind == ReportKind::Table).await.context(JOB)?;
        } else {
            running.record_progress(transaction).await.context(JOB)?;
            self.running = Some(running);
        }
        self.portion.adapt(self.clock.monotonic().saturating_duration_since(begun));
        Ok(Portion { rows_changed, is_last: false })
    }

    /// Takes the next job. Returns whether there is one.
    async fn begin(&mut self, transaction: &Transaction) -> Result<bool, DbErr> {
        let next = job::Entity::find()
            .filter(job::Column::FinishedAt.is_null())
            .filter(job::Column::Task.is_not_null())
            .filter(job::Column::Id.lte(self.newest))
            .order_by_asc(job::Column::Id);
        let Some(job) = next.one(transaction).await? else { return Ok(false) };
        let task = serde_json::from_str(job.task.as_deref().unwrap_or_default());
        info!(job.id = job.id, job.kind = ?job.kind, "a job begins");
        let work = match task {
            Ok(task) => Work::of(transaction, task).await?,
            Err(error) => Work::Unknown { error: error.to_string() },
        };
        self.running = Some(Running { job, work, pages: HashSet::new(), lost_flags: BTreeSet::new() });
        Ok(true)
    }
}

/// Marks the jobs as done that have changed all counts they had to, in the transaction that brings the view up to date.
/// Returns whether there were any.
pub(crate) async fn publish(transaction: &Transaction, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let done = job::Entity::update_many()
        .col_expr(job::Column::Status, Expr::value(Status::Done))
        .col_expr(job::Column::FinishedAt, Expr::value(now))
        .filter(job::Column::FinishedAt.is_null())
        .filter(job::Column::Task.is_null())
        .exec(transaction)
        .await?;
    Ok(done.rows_affected > 0)
}

impl Running {
    /// Reads the job's row again. Returns whether there is anything left to do: between two portions the refresh of another
    /// process may have gone on with the job, and ended it. What is recorded after the end has to stay.
    async fn read_again(&mut self, transaction: &Transaction) -> Result<bool, DbErr> {
        let row = job::Entity::find_by_id(self.job.id).one(transaction).await?;
        let Some(row) = row.filter(|row| row.task.is_some()) else { return Ok(false) };
        self.job = row;
        Ok(true)
    }

    async fn record_progress(&self, transaction: &Transaction) -> Result<(), DbErr> {
        let row = job::ActiveModel {
            id: Unchanged(self.job.id),
            status: Set(Status::Running),
            pages: Set(self.job.pages),
            views: Set(self.job.views),
            ..Default::default()
        };
        row.update(transaction).await.map(drop)
    }

    /// Records that the job has changed all counts, or why none; and that it has ended if `is_published`.
    async fn end(
        &self,
        transaction: &Transaction,
        now: DateTime<Utc>,
        refused: Option<String>,
        is_published: bool,
    ) -> Result<(), DbErr> {
        info!(
            job.id = self.job.id,
            job.pages = self.job.pages,
            job.views = self.job.views,
            job.refused = refused.is_some(),
            "a job ends"
        );
        let is_ended = is_published || refused.is_some();
        let status = match (&refused, is_ended) {
            (Some(_), _) => Status::Refused,
            (None, true) => Status::Done,
            (None, false) => Status::Running,
        };
        let row = job::ActiveModel {
            task: Set(None),
            status: Set(status),
            finished_at: Set(is_ended.then_some(now)),
            pages: Set(self.job.pages),
            views: Set(self.job.views),
            error: Set(refused),
            ..job::Model::clone(&self.job).into_active_model()
        };
        row.update(transaction).await.map(drop)
    }
}

/// Returns why a job can't be done, before it changes anything.
async fn refusal(transaction: &Transaction, work: &Work) -> Result<Option<String>, DbErr> {
    match work {
        Work::Unknown { error } => Ok(Some(format!("this program does not know the task: {error}"))),
        Work::Rename { from, to, .. } => {
            if aliases::target(transaction, to).await?.is_some() {
                return Ok(Some("the new name is an alias".to_owned()));
            }
            let page = page::Entity::find_by_id(from.as_str()).one(transaction).await?;
            Ok(page.is_none().then(|| "there is no page of the old name any more".to_owned()))
        }
        Work::Remove { bounds, .. } => {
            for date in bounds.cut_days() {
                if counts::has_kept_day(transaction, date).await? {
                    return Ok(Some(format!(
                        "the range cuts {date}, whose hours were dropped for their age: begin and end it at midnight UTC"
                    )));
                }
            }
            Ok(None)
        }
        Work::Correct { page, hour, views } if *views < 0 => {
            let count = (*hour, page.clone());
            let available = counts::available(transaction, std::slice::from_ref(&count)).await?;
            let available = available.get(&count).map_or(0, |(of_hour, of_day)| of_hour + of_day);
            let reason = || format!("the page has only {available} views then, fewer than {}", -views);
            Ok((available < -views).then(reason))
        }
        Work::Undo { import } => {
            let wanted = imports::all_of(transaction, *import).await?;
            let missing = counts::missing(transaction, &wanted).await?;
            let reason = || format!("{missing} views that the import counted are not there any more");
            Ok((missing > 0).then(reason))
        }
        Work::Correct { page, .. } => {
            let page = page::Entity::find_by_id(page.as_str()).one(transaction).await?;
            Ok(page.is_none().then(|| "there is no such page any more".to_owned()))
        }
    }
}

impl Work {
    async fn of(transaction: &Transaction, task: Task) -> Result<Self, DbErr> {
        let begin = Some(Position::default());
        Ok(match task {
            Task::RenamePage { from, to, keep_alias } => {
                let finder = Finder::new(Some(PageSelection::Names(vec![from.clone()])), Bounds::default());
                Self::Rename { from, to, keep_alias, stored: begin, finder }
            }
            Task::RemoveViews { pages, start, end } => {
                let bounds = Bounds { start: start.map(Hour::at_or_after), end: end.map(Hour::at_or_after) };
                let found = match &pages {
                    Some(selection) if selection.has_search() => search(transaction, selection).await?,
                    _ => HashSet::new(),
                };
                let finder = Finder::new(pages.clone(), bounds);
                Self::Remove { selection: pages, found, bounds, stored: begin, finder }
            }
            Task::CorrectViews { page, hour, views } => {
                let page = aliases::target(transaction, &page).await?.unwrap_or(page);
                Self::Correct { page, hour: Hour::containing(hour), views }
            }
            Task::UndoImport { import } => Self::Undo { import },
        })
    }

    /// Changes the counts of at most `limit` days, or as many parts of what imports have stored.
    async fn step(
        &mut self,
        transaction: &Transaction,
        kind: ReportKind,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Step, WolfError> {
        match self {
            Self::Remove { stored: Some(position), selection, found, bounds, .. } => {
                let bounds = *bounds;
                let is_removed = |page: &str| match &*selection {
                    None => true,
                    Some(selection) if selection.has_search() => found.contains(page),
                    Some(selection) => selection.admits(page, None),
                };
                let kept = |page: &str, hour| (!is_removed(page) || !bounds.have(hour)).then(|| page.to_owned());
                let next = imports::rewrite(transaction, *position, kept).await.context(JOB)?;
                if next.is_none() && selection.is_some() && bounds == Bounds::default() {
                    aliases::remove(transaction, is_removed).await.context(JOB)?;
                }
                self.rewritten(next);
                Ok(Step::default())
            }
            Self::Rename { stored: Some(position), from, to, .. } => {
                let renamed = |page: &str, _| Some(if page == from { to.clone() } else { page.to_owned() });
                let next = imports::rewrite(transaction, *position, renamed).await.context(JOB)?;
                if next.is_none() {
                    pages::take_over(transaction, from, to, now).await.context(JOB)?;
                    if kind == ReportKind::Table {
                        merge::retitle(transaction, vec![to.clone()]).await.context(JOB)?;
                    }
                }
                self.rewritten(next);
                Ok(Step::default())
            }
            Self::Remove { bounds, finder, .. } => {
                let found = finder.next(transaction, limit).await.context(JOB)?;
                let is_last = found.is_empty();
                pages::delete(transaction, &found.without_rows).await.context(JOB)?;
                let taken = counts::take(transaction, found.days.iter(), *bounds).await.context(JOB)?;
                Ok(Step { days: found.days, views: taken.views(), is_last })
            }
            Self::Rename { from, to, keep_alias, finder, .. } => {
                let mut found = finder.next(transaction, limit).await.context(JOB)?;
                if found.days.is_empty() && kind == ReportKind::Table {
                    // Views that were merged since the search passed their day. A view still shows what has moved.
                    *finder = Finder::new(Some(PageSelection::Names(vec![from.clone()])), Bounds::default());
                    found = finder.next(transaction, limit).await.context(JOB)?;
                }
                if found.days.is_empty() {
                    pages::delete(transaction, std::slice::from_ref(from)).await.context(JOB)?;
                    aliases::point(transaction, from, to, *keep_alias).await.context(JOB)?;
                    return Ok(Step { is_last: true, ..Step::default() });
                }
                let taken = counts::take(transaction, found.days.iter(), Bounds::default()).await.context(JOB)?;
                counts::give(transaction, &taken, |_| to.clone(), now).await.context(JOB)?;
                let mut days = found.days;
                days.extend(days.clone().into_iter().map(|(date, _)| (date, to.clone())));
                Ok(Step { days, views: taken.views(), is_last: false })
            }
            // Refused before.
            Self::Unknown { .. } => Ok(Step { is_last: true, ..Step::default() }),
            Self::Correct { page, hour, views } => {
                let change = BTreeMap::from([((*hour, page.clone()), views.abs())]);
                if *views < 0 {
                    subtract(transaction, &change).await?;
                } else {
                    counts::add(transaction, change, now).await.context(JOB)?;
                }
                Ok(Step { days: BTreeSet::from([(hour.date(), page.clone())]), views: *views, is_last: true })
            }
            Self::Undo { import } => {
                let taken = imports::take(transaction, *import, limit).await.context(JOB)?;
                let Some(taken) = taken else {
                    let undone =
                        import::ActiveModel { id: Unchanged(*import), undone_at: Set(Some(now)), ..Default::default() };
                    undone.update(transaction).await.context(JOB)?;
                    return Ok(Step { is_last: true, ..Step::default() });
                };
                let mut change: BTreeMap<_, i64> = BTreeMap::new();
                for (hour, page, views) in taken {
                    *change.entry((hour, page)).or_default() += views;
                }
                subtract(transaction, &change).await?;
                let days = change.keys().map(|(hour, page)| (hour.date(), page.clone())).collect();
                Ok(Step { days, views: change.values().sum(), is_last: false })
            }
        }
    }

    /// Notes how far what imports have stored is rewritten.
    fn rewritten(&mut self, next: Option<Position>) {
        if let Self::Remove { stored, .. } | Self::Rename { stored, .. } = self {
            *stored = next;
        }
    }
}

/// Returns a hash of a page's name, to tell pages apart.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Takes views away that are sure to be there: only recorders change counts meanwhile, and they only add.
async fn subtract(transaction: &Transaction, change: &BTreeMap<(Hour, String), i64>) -> Result<(), WolfError> {
    let all_there = counts::subtract(transaction, change).await.context(JOB)?;
    all_there.then_some(()).ok_or(WolfError::RowsMissing { rows: 1 })
}

/// Returns the names of the pages whose names or titles contain a text: their titles are gone later.
async fn search(transaction: &Transaction, selection: &PageSelection) -> Result<HashSet<String>, DbErr> {
    let (mut found, mut last) = (HashSet::new(), String::new());
    loop {
        let pages = pages::after(transaction, &last, PAGES_PER_LOOK).await?;
        let Some((name, _)) = pages.last() else { return Ok(found) };
        last.clone_from(name);
        found.extend(
            pages.into_iter().filter(|(name, title)| selection.admits(name, title.as_deref())).map(|(name, _)| name),
        );
    }
}

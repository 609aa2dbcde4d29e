//! `analytics demo`: a server with the counts of a made-up site, to look around in.

mod site;

use std::{io::Write, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use entity::Hour;
use increments::{Increment, Recorder, RecorderSettings, Request, Views};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use storage::{ConnectionSettings, Database, DatabaseSettings, clock};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wolf::{LockMode, Refresher};

use self::site::Site;
use crate::{
    cli::{self, DemoSettings},
    database,
    serve::serve,
    signals::Signals,
    terminal::{self, Progress},
};

/// What the name of the database's folder begins with, in the system's folder for temporary files.
const FOLDER_PREFIX: &str = "analytics-demo-";
/// The seed of the made-up year, so that every demo has the same one.
const SEED: u64 = 7;
/// The longest pause between two live views.
const PAUSE_MAX: Duration = Duration::from_millis(600);
/// The most time that the server may take to stop; then its database is thrown away all the same.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Serves a made-up site from a database of its own, until SIGTERM or SIGINT. Then the database is thrown away.
///
/// # Errors
/// When the database can't be made, or the server can't be started.
pub(crate) async fn demo(settings: DemoSettings) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let folder = tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir().context("can't make a temporary folder")?;
    let url = format!("sqlite://{}", folder.path().join("demo.db").display());
    let serve_settings = cli::serve_settings_of_demo(settings.listen, &url)?;
    let connection: ConnectionSettings = serve_settings.database.connection.clone();
    terminal::print(&format!("the database of the demo is {url}; it is thrown away at the end\n"));
    drop(std::io::stdout().flush());
    let database = database::open(&DatabaseSettings::from(connection), false).await?;
    let recorder_settings: RecorderSettings = serve_settings.recorder.clone();
    let (recorder, committer) = Recorder::new(&database, &recorder_settings);
    let mut tasks = JoinSet::new();
    tasks.spawn(committer.run(CancellationToken::new()));
    let site = Site::new();
    let made = tokio::select! {
        made = make_year(&site, &recorder, &database) => made.map(|()| true),
        () = signals.next() => Ok(false),
    };
    let served = match made {
        Ok(true) => {
            let live = tasks.spawn(record_live(site, recorder));
            let served = tokio::select! {
                served = Box::pin(serve(serve_settings)) => served,
                // The server has its own look at the signals, once it has begun.
                () = async { signals.next().await; sleep(STOP_MAX).await } => Ok(()),
            };
            live.abort();
            served
        }
        Ok(false) => {
            drop(recorder);
            Ok(())
        }
        Err(error) => {
            drop(recorder);
            Err(error)
        }
    };
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && !error.is_cancelled()
        {
            bail!(error);
        }
    }
    drop(database.close().await);
    folder.close().context("can't delete the temporary folder")?;
    served
}

/// Records a year up to the present hour, and refreshes the report.
async fn make_year(site: &Site, recorder: &Recorder, database: &Database) -> anyhow::Result<()> {
    let progress = Progress::start("making up a year of a site");
    let mut random = StdRng::seed_from_u64(SEED);
    let present = Hour::containing(clock::process_now());
    let (mut done, days) = (0, site::DAYS);
    while done < days {
        let mut increments = Vec::new();
        while done < days && increments.len() < site::INCREMENTS_ENOUGH {
            increments.extend(site.day(&mut random, present, days - done)?);
            done += 1;
        }
        recorder.record(Request::new(increments, None)).await?;
        progress.set("days", done.into(), days.into());
    }
    drop(progress);
    let progress = Progress::start("refreshing the report");
    let show = |done, all| progress.set("stale hours", done, all);
    Refresher::new(database).refresh_with_progress(LockMode::Wait, None, &show).await?;
    Ok(())
}

/// Records views as they come, until the task is aborted.
async fn record_live(site: Site, recorder: Recorder) {
    let mut random = StdRng::seed_from_u64(SEED + 1);
    loop {
        sleep(PAUSE_MAX.mul_f64(random.random::<f64>())).await;
        let now: DateTime<Utc> = clock::process_now();
        let (page, title) = site.page(&mut random);
        let increment = Increment { page, views: Views::ONE, hour: Hour::containing(now), at: None, title };
        if let Err(error) = recorder.record(Request::new(vec![increment], None)).await {
            warn!(error = &error as &dyn std::error::Error, "a view of the demo was not recorded");
        }
    }
}

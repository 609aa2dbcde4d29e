//! Work in the background of the service: commands, backups, transactions that hold the report.

use std::{
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::task::JoinSet;

use super::{
    clients::Workload,
    counts_of_days,
    expectations::{Expectations, sums},
};
use crate::{
    app::{Rung, TestDatabase},
    process,
    wait::{pace, wait_for},
};

/// Work in the background of the service.
#[derive(Default)]
pub(crate) struct BackgroundWork {
    tasks: JoinSet<()>,
    disturbances: Arc<Disturbances>,
}

/// Faults because of which commands may fail.
#[derive(Default)]
struct Disturbances {
    begun: AtomicU64,
    under_way: AtomicU64,
}

impl BackgroundWork {
    /// Commands that run now may fail.
    pub(crate) fn disturb(&self) {
        self.disturbances.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Fails if any work has failed.
    pub(crate) fn check(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            super::unwrap(ended);
        }
    }

    /// Waits until all has ended.
    pub(crate) async fn end(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            super::unwrap(ended);
        }
    }

    /// Runs a command. It may fail only where something disturbs it, and never find a difference.
    pub(crate) fn run(&mut self, database: &TestDatabase, arguments: &'static [&'static str]) {
        let command = process::analytics(database, arguments);
        let disturbed = self.disturbed();
        self.tasks.spawn(async move {
            let output = output(command).await;
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(!stderr.contains("differ"), "{arguments:?}: {}{stderr}", String::from_utf8_lossy(&output.stdout));
            assert!(output.status.success() || disturbed(), "{arguments:?}: {stderr}");
        });
    }

    /// Backs the SQLite file up. The copy has all that was acknowledged before, and each request as a whole or not; its
    /// report is refreshed and verified.
    pub(crate) fn back_up(&mut self, database: &TestDatabase, workload: &Arc<Workload>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let command = process::analytics(database, &["backup", file.to_str().unwrap()]);
        let copy = TestDatabase { url: format!("sqlite://{}", file.display()), rung: Rung::Sqlite, folder };
        let (disturbed, workload) = (self.disturbed(), Arc::clone(workload));
        let least = workload.expectations().acknowledged_now();
        self.tasks.spawn(async move {
            let output = output(command).await;
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() || disturbed(), "backup: {stderr}");
            if !output.status.success() {
                return;
            }
            for command in ["refresh", "verify"] {
                tokio::task::block_in_place(|| process::succeed(&copy, &[command]));
            }
            let connection = copy.connect().await;
            let views = sums(&counts_of_days(&connection).await);
            connection.close().await.unwrap();
            for (page, least) in least {
                let views = views.get(&page).copied().unwrap_or(0);
                assert!(views >= least, "the backup has {views} views of {page}, {least} were acknowledged before");
            }
            Expectations::check_whole(&views);
        });
    }

    /// Holds a snapshot of the report for some time, as a dump does, unless its connection is ended.
    pub(crate) fn hold_report(&mut self, database: &TestDatabase, time: Duration) {
        const HOLD: &str = "BEGIN; SELECT count(*) FROM page_views_report";
        let (url, disturbances) = (database.url.clone(), Arc::clone(&self.disturbances));
        disturbances.under_way.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(async move {
            if url.starts_with("sqlite") {
                let mut holder = SqliteConnection::connect(&url).await.unwrap();
                holder.execute(HOLD).await.unwrap();
                pace(time).await;
            } else if let Ok(mut holder) = PgConnection::connect(&url).await
                && holder.execute(HOLD).await.is_ok()
            {
                pace(time).await;
            }
            disturbances.begun.fetch_add(1, Ordering::Relaxed);
            disturbances.under_way.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Returns a closure that says, when called later, whether something has disturbed commands since now.
    fn disturbed(&self) -> impl Fn() -> bool + use<> {
        let disturbances = Arc::clone(&self.disturbances);
        let begun = disturbances.begun.load(Ordering::Relaxed);
        let under_way = disturbances.under_way.load(Ordering::Relaxed) > 0;
        move || under_way || disturbances.begun.load(Ordering::Relaxed) != begun
    }
}

async fn output(command: Command) -> Output {
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    wait_for("a command to end", output).await.unwrap()
}

//! The private memory of PostgreSQL's processes that work for the services.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use procfs::process::Process;
use tokio::{task::JoinSet, time::sleep};

use super::store::USER;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The most memory by database, so far.
type Peaks = Arc<Mutex<HashMap<String, u64>>>;

/// Looks at the memory of the server's processes until it is dropped.
#[derive(Debug)]
pub(super) struct BackendMemory {
    peaks: Peaks,
    _looking: JoinSet<()>,
}

impl BackendMemory {
    /// Looks at the processes of the server whose main process this is.
    pub(super) fn watch(main_process: i32) -> Self {
        let peaks = Peaks::default();
        let mut looking = JoinSet::new();
        let seen = Arc::clone(&peaks);
        looking.spawn(async move {
            loop {
                for (database, bytes) in backends_bytes(main_process) {
                    let mut peaks = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    let peak = peaks.entry(database).or_default();
                    *peak = bytes.max(*peak);
                }
                sleep(PAUSE).await;
            }
        });
        Self { peaks, _looking: looking }
    }

    /// Returns the most bytes that the services' server processes of a database had together since the last call.
    pub(super) fn take_peak_bytes(&self, database: &str) -> Option<u64> {
        self.peaks.lock().unwrap_or_else(PoisonError::into_inner).remove(database)
    }
}

/// Returns the bytes by database. A process that ends meanwhile is left out.
fn backends_bytes(main_process: i32) -> HashMap<String, u64> {
    let children = fs::read_to_string(format!("/proc/{main_process}/task/{main_process}/children"));
    let children = children.unwrap_or_default();
    let titles: HashMap<&str, String> = children
        .split_whitespace()
        .filter_map(|process| Some((process, fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?)))
        .collect();
    let mut sums = HashMap::new();
    for (process, title) in &titles {
        // Parallel workers name the process that they work for, others the user and the database.
        let leader = title.strip_prefix("postgres: parallel worker for PID ");
        let leader = leader.map(|rest| rest.trim_end_matches(['\0', ' ']));
        let title = leader.map_or(Some(title), |leader| titles.get(leader));
        let Some(rest) = title.and_then(|title| title.strip_prefix("postgres: ")?.strip_prefix(USER)) else { continue };
        let Some(database) = rest.split_whitespace().next() else { continue };
        let status = process.parse().ok().and_then(|process| Process::new(process).ok()?.status().ok());
        if let Some(kib) = status.and_then(|status| status.rssanon) {
            *sums.entry(database.to_owned()).or_default() += kib * 1_024;
        }
    }
    sums
}

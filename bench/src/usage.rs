//! What processes have used of the processors.

use anyhow::Context;
use procfs::process::{Process, Stat, all_processes};

/// Seconds on a processor, in user and in kernel mode.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Usage {
    /// The service's process, if there is one.
    pub(crate) service_s: Option<f64>,
    /// All of the database server's processes.
    pub(crate) database_s: f64,
    /// This process.
    pub(crate) own_s: f64,
}

impl Usage {
    /// So far.
    pub(crate) fn now(service: Option<i32>, database: i32) -> anyhow::Result<Self> {
        let service_s = service.map(|id| anyhow::Ok(seconds(&Process::new(id)?.stat()?))).transpose()?;
        let own_s = seconds(&Process::myself()?.stat()?);
        let mut ticks = 0;
        for process in all_processes()? {
            // A process that has ended since is counted by its parent.
            let Ok(stat) = process.and_then(|process| process.stat()) else { continue };
            if stat.pid == database {
                ticks += stat.utime + stat.stime + u64::try_from(stat.cutime + stat.cstime)?;
            } else if stat.ppid == database {
                ticks += stat.utime + stat.stime;
            }
        }
        Ok(Self { service_s, database_s: in_seconds(ticks), own_s })
    }

    /// Since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            service_s: self.service_s.zip(before.service_s).map(|(now, before)| now - before),
            database_s: self.database_s - before.database_s,
            own_s: self.own_s - before.own_s,
        }
    }
}

/// Seconds on a processor of all child processes of this one that have ended.
pub(crate) fn children_s() -> anyhow::Result<f64> {
    let stat = Process::myself()?.stat()?;
    Ok(in_seconds(u64::try_from(stat.cutime + stat.cstime)?))
}

/// The most memory that a process had, resident, so far.
pub(crate) fn memory_peak_bytes(process: i32) -> anyhow::Result<u64> {
    let kib =
        Process::new(process)?.status()?.vmhwm.context("the kernel does not say the peak of a process's memory")?;
    Ok(kib * 1_024)
}

fn seconds(stat: &Stat) -> f64 {
    in_seconds(stat.utime + stat.stime)
}

#[expect(clippy::cast_precision_loss, reason = "hundredths of a second, for hours at most")]
fn in_seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

/// The memory that a process has now, resident.
pub(crate) fn memory_bytes(process: i32) -> anyhow::Result<u64> {
    let kib =
        Process::new(process)?.status()?.vmrss.context("the kernel does not say how much memory a process has")?;
    Ok(kib * 1_024)
}

//! The processes of the service, each on a machine of its own: with its clock and its log.

use std::{
    fs::File,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use super::clients::Workload;
use crate::{
    app::TestDatabase,
    machine_clock::MachineClock,
    process::{self, Server},
    wait::eventually,
};

const ARGUMENTS: [&str; 12] = [
    "--record-timeout-ms",
    "1000",
    "--database-timeout-ms",
    "1000",
    "--refresh-cron",
    "* * * * * *",
    "--queue-increments",
    "10000",
    "--log",
    "info",
    "--listen",
    "127.0.0.1:0",
];

/// A place for one process of the service, which is started again after it has ended.
pub(crate) struct Slot {
    services: &'static str,
    arguments: &'static [&'static str],
    pub(crate) clock: MachineClock,
    log: File,
    server: Option<Server>,
}

impl Slot {
    /// A place for a process with these services, with its files in `folder`.
    pub(crate) fn new(
        folder: &Path,
        number: usize,
        services: &'static str,
        arguments: &'static [&'static str],
    ) -> Self {
        let clock = MachineClock::new(folder, &number.to_string());
        let log = File::create(folder.join(format!("{number}.log"))).unwrap();
        Self { services, arguments, clock, log, server: None }
    }

    pub(crate) fn does(&self, service: &str) -> bool {
        self.services.split(',').any(|other| other == service)
    }

    pub(crate) fn drops_hours(&self) -> bool {
        self.arguments.contains(&"--keep-hours")
    }

    pub(crate) fn address(&self) -> String {
        self.server.as_ref().unwrap().address.clone()
    }

    /// Starts the process, again and again until it serves, as a supervisor does.
    pub(crate) async fn start(&mut self, database: &TestDatabase) {
        let (services, arguments, clock, log) = (self.services, self.arguments, &self.clock, &self.log);
        let mut server = None;
        eventually("a process of the service to start", async || {
            let mut command = process::analytics(database, &["serve", "--services", services]);
            command.args(ARGUMENTS).args(arguments).stderr(Stdio::from(log.try_clone().unwrap()));
            command.envs(clock.environment());
            server = tokio::task::block_in_place(|| Server::try_of(command));
            server.is_some()
        })
        .await;
        self.server = server;
    }

    pub(crate) fn kill(&mut self) {
        let server = self.server.as_mut().unwrap();
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        self.server.as_ref().unwrap().signal(name);
    }

    /// Sends SIGTERM, and returns how the process ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let server = self.server.as_mut().unwrap();
        server.signal("TERM");
        let mut ended = None;
        eventually("a process to stop", async || {
            ended = server.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        ended.unwrap()
    }
}

/// Gives the clients the addresses on which the processes listen now.
pub(crate) fn update_addresses(slots: &[Slot], workload: &Arc<Workload>) {
    *workload.recorders.lock().unwrap() = addresses(slots, "increments");
    *workload.reporters.lock().unwrap() = addresses(slots, "reports");
}

/// Returns the addresses of the processes that have `service`.
pub(crate) fn addresses(slots: &[Slot], service: &str) -> Vec<String> {
    slots.iter().filter(|slot| slot.does(service)).map(Slot::address).collect()
}

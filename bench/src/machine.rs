//! The head of the results: which machine, which versions, which settings.

use std::{fs, process::Command};

use sqlx::PgConnection;

use crate::{server::Server, terminal};

/// What of the server's settings decides the figures.
const SETTINGS: [&str; 8] = [
    "shared_buffers",
    "max_wal_size",
    "work_mem",
    "random_page_cost",
    "jit",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
];

/// Prints it as a Markdown list.
pub(crate) async fn print_head(server: &Server) -> anyhow::Result<()> {
    let mut connection = server.connect().await?;
    let version: String = sqlx::query_scalar("SELECT version()").fetch_one(&mut connection).await?;
    let build = if cfg!(debug_assertions) { "dev build: figures to be thrown away" } else { "release build" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    terminal::print(&format!(
        "* Machine: {cores} cores, {} GiB of memory, {}, Linux {}, load {} at the start\n\
         * Database: {}\n\
         * Settings: {}\n\
         * Program: commit {}, {}, {build}",
        memory_gib(),
        cpu_model(),
        line("/proc/sys/kernel/osrelease"),
        line("/proc/loadavg").split(' ').next().unwrap_or_default(),
        version.split(',').next().unwrap_or_default(),
        settings(&mut connection).await?,
        commit(),
        output("rustc", &["--version"]),
    ));
    Ok(())
}

async fn settings(connection: &mut PgConnection) -> anyhow::Result<String> {
    let settings: Vec<String> =
        sqlx::query_scalar("SELECT name || ' = ' || current_setting(name) FROM unnest($1::text[]) AS name")
            .bind(SETTINGS.as_slice())
            .fetch_all(connection)
            .await?;
    Ok(settings.join(", "))
}

fn commit() -> String {
    let changed = if output("git", &["status", "--porcelain"]).is_empty() { "" } else { " with changes" };
    format!("{}{changed}", output("git", &["rev-parse", "--short", "HEAD"]))
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "a processor that does not say its name".to_owned(), |(_, model)| model.to_owned())
}

fn memory_gib() -> u64 {
    const KIB_PER_GIB: u64 = 1_048_576;
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    total.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default().div_ceil(KIB_PER_GIB)
}

fn line(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

/// What a program prints; nothing if it is not there.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

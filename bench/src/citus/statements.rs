//! What the nodes are asked for a commit, and what they take for it: as their logs say.

use std::{collections::BTreeMap, time::Duration};

use entity::Hour;
use futures_util::future::try_join_all;
use increments::Request;
use sqlx::{AssertSqlSafe, Executor};
use storage::clock;

use super::cluster::{Cluster, WORKERS};
use crate::{dataset, figures, server::Server, terminal::Progress};

/// How often each group is recorded.
const ROUNDS: u32 = 20;
/// What is recorded at once: requests, and the increments of each.
const GROUPS: [(usize, usize); 2] = [(256, 1), (16, 1_000)];
/// What the log has before a statement that was executed.
const EXECUTED: [&str; 2] = ["  statement: ", "  execute "];

/// How often, and how long in all.
type Taken = BTreeMap<String, (u32, Duration)>;

/// Records groups on clusters of fewer and of all workers, and prints what each kind of node was asked.
pub(super) async fn run(cluster: &mut Cluster, progress: &Progress) -> anyhow::Result<()> {
    progress.print(
        "\n| at once | workers | node | statement | a group | ms each | ms a group |\n\
         | --- | --: | --- | --- | --: | --: | --: |",
    );
    for workers in [WORKERS - 1, WORKERS] {
        progress.part(&format!("statements, {workers} workers"));
        let (name, url) = cluster.create_database(workers).await?;
        let log = format!("ALTER DATABASE {name} SET log_min_duration_statement = 0");
        let dataset = dataset::Recording::open(&url).await?;
        dataset.distribute().await?;
        for (requests, increments) in GROUPS {
            progress.step(format!("{requests} requests of {increments}"));
            record(&dataset, requests, increments).await?;
            // New connections log, those of the recorder and those from node to node.
            for node in cluster.nodes().take(1 + workers) {
                node.connect().await?.execute(AssertSqlSafe(log.clone())).await?;
            }
            let dataset = dataset::Recording::open(&url).await?;
            record(&dataset, requests, increments).await?;
            let before = lengths(cluster)?;
            for _ in 0..ROUNDS {
                record(&dataset, requests, increments).await?;
            }
            dataset.close().await?;
            print(cluster, workers, &before, &format!("{requests} × {increments}"), progress)?;
        }
        dataset.close().await?;
    }
    Ok(())
}

/// Records requests of pages that are different ones, all at once.
async fn record(dataset: &dataset::Recording, requests: usize, increments: usize) -> anyhow::Result<()> {
    let now = clock::process_now();
    let hour = Hour::containing(now);
    let request = |request: usize| -> anyhow::Result<_> {
        let pages =
            (0..increments).map(|page| u16::try_from((request * increments + page) % usize::from(dataset::PAGES)));
        let increments: anyhow::Result<Vec<_>> = pages.map(|page| dataset::increment(page?, hour)).collect();
        Ok(Request::new(increments?, None))
    };
    let requests: anyhow::Result<Vec<_>> = (0..requests).map(request).collect();
    try_join_all(requests?.into_iter().map(|request| dataset.recorder.record(request))).await?;
    Ok(())
}

fn lengths(cluster: &Cluster) -> anyhow::Result<Vec<usize>> {
    cluster.nodes().map(|node| Ok(node.log()?.len())).collect()
}

fn print(cluster: &Cluster, workers: usize, before: &[usize], name: &str, progress: &Progress) -> anyhow::Result<()> {
    let (mut on_coordinator, mut on_workers) = (Taken::new(), Taken::new());
    for (index, (node, before)) in cluster.nodes().zip(before).take(1 + workers).enumerate() {
        read(node, *before, if index == 0 { &mut on_coordinator } else { &mut on_workers })?;
    }
    for (node, taken, nodes) in
        [("coordinator", on_coordinator, 1), ("each worker", on_workers, u32::try_from(workers)?)]
    {
        let groups = f64::from(ROUNDS * nodes);
        for (statement, (times, duration)) in taken {
            let ms = duration.as_secs_f64() * 1_000.0;
            progress.print(&format!(
                "| {name} | {workers} | {node} | {statement} | {:.1} | {} | {:.2} |",
                f64::from(times) / groups,
                figures::ms(duration / times.max(1)),
                ms / groups,
            ));
        }
    }
    Ok(())
}

/// Adds what a server has logged since it had logged so many bytes.
fn read(server: &Server, before: usize, taken: &mut Taken) -> anyhow::Result<()> {
    let log = server.log()?;
    for line in log.get(before..).unwrap_or_default().lines() {
        let Some((_, line)) = line.split_once("duration: ") else { continue };
        let Some((ms, statement)) = line.split_once(" ms") else { continue };
        let Some(statement) = EXECUTED.iter().find_map(|before| statement.strip_prefix(before)) else { continue };
        // A prepared statement's name comes first.
        let statement =
            statement.split_once(": ").filter(|(name, _)| !name.contains(' ')).map_or(statement, |(_, sql)| sql);
        let entry = taken.entry(kind(statement)).or_default();
        entry.0 += 1;
        entry.1 += Duration::from_secs_f64(ms.parse::<f64>()? / 1_000.0);
    }
    Ok(())
}

/// The words that tell a statement's kind, without the names of shards and transactions.
fn kind(statement: &str) -> String {
    let mut words = statement.split_whitespace().map(|word| word.trim_end_matches(';'));
    let mut kind: Vec<_> = words.by_ref().take(2).collect();
    if kind.first().is_some_and(|word| word.eq_ignore_ascii_case("insert")) {
        kind.extend(words.next());
    }
    if let [word, .., table] = kind.as_mut_slice()
        && (word.eq_ignore_ascii_case("insert") || word.eq_ignore_ascii_case("copy"))
    {
        let name = table.rsplit('.').next().unwrap_or_default();
        *table = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    }
    let kind = match kind.as_slice() {
        ["PREPARE" | "COMMIT" | "ROLLBACK" | "BEGIN", ..] => {
            let prepared =
                kind.get(1).filter(|word| matches!(**word, "TRANSACTION" | "PREPARED") && kind[0] != "BEGIN");
            prepared.map_or_else(|| kind[0].to_owned(), |second| format!("{} {second}", kind[0]))
        }
        kind => kind.join(" "),
    };
    format!("`{kind}`")
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn statements_of_all_shards_are_of_one_kind() {
        for (statement, expected) in [
            ("INSERT INTO public.page_views_102040 AS citus_table_alias (name)", "`INSERT INTO page_views`"),
            ("INSERT INTO page_views (name)", "`INSERT INTO page_views`"),
            ("COPY public.stale_pages_102104 (name, date) FROM STDIN", "`COPY stale_pages`"),
            ("PREPARE TRANSACTION 'citus_0_1_2_3'", "`PREPARE TRANSACTION`"),
            ("COMMIT PREPARED 'citus_0_1_2_3'", "`COMMIT PREPARED`"),
            ("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED;SELECT assign", "`BEGIN`"),
            ("COMMIT; SELECT clock_timestamp()", "`COMMIT`"),
        ] {
            assert_eq!(kind(statement), expected);
        }
    }
}
